"""What a quota is: a limit that several ticket types of an event share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kit.errors import FailedPrecondition, NotFound
from ticket_service.catalog.domain import TicketType, TicketTypeNotFound
from ticket_service.holds.domain import DuplicateTicketType

MAX_QUOTAS = 50


class QuotaNotFound(NotFound):
    """The event has no such quota."""


class TooManyQuotas(FailedPrecondition):
    """An event has at most 50 quotas."""


class QuotaBelowSold(FailedPrecondition):
    """More tickets than that are sold or held."""


@dataclass(frozen=True, slots=True)
class Quota:
    """`remaining` is what is neither sold nor held of the ticket types together."""

    id: str
    event_id: str
    name: str
    size: int
    remaining: int
    ticket_type_ids: Sequence[str]
    version: int
    created_at: datetime
    updated_at: datetime


def remaining(size: int, ticket_type_ids: Sequence[str], ticket_types: Iterable[TicketType]) -> int:
    """What a quota of this size leaves of those of the event's ticket types.

    Raises:
        DuplicateTicketType, TicketTypeNotFound: they are not some of the event's.
        QuotaBelowSold: more of them are sold or held.
    """
    taken = {ticket_type.id: ticket_type.taken for ticket_type in ticket_types}
    for position, ticket_type_id in enumerate(ticket_type_ids):
        if ticket_type_id in ticket_type_ids[:position]:
            raise DuplicateTicketType.of(
                f"ticket_type_ids[{position}]", "This ticket type is named twice."
            )
        if ticket_type_id not in taken:
            raise TicketTypeNotFound(metadata={"ticket_type_id": ticket_type_id})
    out = sum(taken[ticket_type_id] for ticket_type_id in ticket_type_ids)
    if out > size:
        raise QuotaBelowSold(f"{out} tickets of these ticket types are sold or held.")
    return size - out


def change(quota: Quota, changes: Mapping[str, Any], ticket_types: Iterable[TicketType]) -> Quota:
    """The quota with some fields changed; what is sold and held of its ticket types counts.

    Raises:
        DuplicateTicketType, TicketTypeNotFound, QuotaBelowSold: see `remaining`.
    """
    changed = replace(quota, **changes)
    left = remaining(changed.size, changed.ticket_type_ids, ticket_types)
    return replace(changed, remaining=left)
