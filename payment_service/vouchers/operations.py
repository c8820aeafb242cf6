"""Making, changing, deleting and finding vouchers, and what they offer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tessera.ticket.v1 import event_pb2, ticket_type_pb2

from kit import clock, paging
from kit.auth import Caller
from kit.database import Database, Transaction
from kit.errors import check_version
from kit.idempotency import Once
from kit.ids import new_code, new_id
from kit.rpc_errors import RemoteError
from payment_service.tickets_client import TicketsClient
from payment_service.vouchers import domain, store
from payment_service.vouchers.domain import Standing, Voucher

CODE_LENGTH = 10  # of 29 letters: 4 · 10¹⁴ codes, which nobody guesses
EVENTS_REMEMBERED = 10_000


class Organizers:
    """Whose an event is: asked once, since that never changes."""

    def __init__(self, tickets: TicketsClient) -> None:
        self._tickets = tickets
        self._known: dict[str, str] = {}

    async def of(self, event_id: str) -> str:
        """The organizer of an event; empty when there is no such event."""
        if event_id not in self._known:
            event = await _event(self._tickets, event_id)
            if event is None:
                return ""
            if len(self._known) >= EVENTS_REMEMBERED:
                self._known.clear()
            self._known[event_id] = event.organizer_id
        return self._known[event_id]


@dataclass(frozen=True, slots=True)
class Offer:
    """What a voucher does for an event: for these of its ticket types."""

    voucher: Voucher
    ticket_types: Sequence[ticket_type_pb2.TicketType]


async def create_voucher(
    database: Database,
    tickets: TicketsClient,
    organizer_id: str,
    code: str,
    values: Mapping[str, Any],
    once: Once[Standing],
) -> Standing:
    """Make a voucher; its code is made up if none is given.

    Raises:
        InvalidVoucher, EventNotFound, CurrencyMismatch, TicketTypeNotFound: it makes no sense.
        VoucherCodeTaken: the organizer has one with this code.
    """
    now = clock.now()
    voucher = Voucher(
        id=new_id("vch"),
        organizer_id=organizer_id,
        code=domain.normal_code(code) or new_code(CODE_LENGTH),
        version=1,
        created_at=now,
        updated_at=now,
        **values,
    )
    if voucher.event_id:
        async with database.begin() as tx:
            await once.claim(tx)  # the same answer as before, whatever became of the event
        await _check_fits(tickets, voucher)
    async with database.begin() as tx:
        await once.claim(tx)
        stored = await store.insert_voucher(tx, asdict(voucher))
        if stored is None:
            raise domain.VoucherCodeTaken
        return await once.record(tx, Standing(stored, redeemed=0))


async def get_voucher(database: Database, caller: Caller, voucher_id: str) -> Standing:
    """A voucher as its organizer's people see it.

    Raises:
        VoucherNotFound: there is none, or it is somebody else's.
    """
    async with database.begin() as tx:
        return await _visible(tx, caller, voucher_id)


async def list_vouchers(
    database: Database,
    organizer_id: str,
    *,
    event_id: str,
    code: str,
    page_size: int,
    page_token: str,
) -> tuple[Sequence[Standing], str]:
    """A page of an organizer's vouchers, newest first, and the next page's token.

    An empty organizer is the superadmin's: everybody's vouchers.
    """
    size = paging.page_size(page_size)
    question = f"{organizer_id}|{event_id}|{code}"
    async with database.begin() as tx:
        found = await store.list_vouchers(
            tx,
            organizer_id=organizer_id,
            event_id=event_id,
            code=domain.normal_code(code),
            before=paging.decode(page_token, question, 1),
            limit=size + 1,
        )
    return paging.cut(found, size, question, lambda standing: (standing.voucher.id,))


async def update_voucher(
    database: Database,
    tickets: TicketsClient,
    caller: Caller,
    voucher_id: str,
    if_match: str,
    changes: Mapping[str, Any],
) -> Standing:
    """Change some fields of a voucher; what it did for orders is done.

    Raises:
        VoucherNotFound, VersionMismatch: there is none, or it is not what the caller has seen.
        InvalidVoucher, CurrencyMismatch, TicketTypeNotFound: it would make no sense any more.
    """
    async with database.begin() as tx:
        voucher = (await _visible(tx, caller, voucher_id)).voucher
    if voucher.event_id and {"ticket_type_ids", "currency_code"} & changes.keys():
        await _check_fits(tickets, domain.change(voucher, changes))
    async with database.begin() as tx:
        locked = await store.lock_voucher(tx, voucher_id)
        if locked is None:
            raise domain.VoucherNotFound
        check_version(if_match, locked.version)
        await store.update_voucher(tx, domain.change(locked, changes))
        return await _visible(tx, caller, voucher_id)


async def delete_voucher(
    database: Database, caller: Caller, voucher_id: str, if_match: str
) -> None:
    """Delete a voucher that no order was ever made with.

    Raises:
        VoucherNotFound, VersionMismatch: there is none, or it is not what the caller has seen.
        VoucherInUse: orders name it.
    """
    async with database.begin() as tx:
        await _visible(tx, caller, voucher_id)
        voucher = await store.lock_voucher(tx, voucher_id, for_deletion=True)
        if voucher is None:
            raise domain.VoucherNotFound
        check_version(if_match, voucher.version)
        if await store.was_used(tx, voucher_id):
            raise domain.VoucherInUse
        await store.delete_voucher(tx, voucher_id)


async def check_voucher(
    database: Database, tickets: TicketsClient, caller: Caller, event_id: str, code: str
) -> Offer:
    """What a code does for an event that the caller may see.

    Raises:
        VoucherNotFound: there is no such event, or its organizer has no such voucher.
        VoucherNotApplicable: it is not for this event, or not now.
        VoucherExhausted: it was used as often as it may be.
    """
    event = await _event(tickets, event_id)
    if event is None or not _may_see(caller, event):
        raise domain.VoucherNotFound
    voucher = await _usable(database, event.organizer_id, event_id, code)
    domain.check_currency(voucher, event.currency_code)
    offered = [
        ticket_type
        for ticket_type in event.ticket_types
        if voucher.is_for(ticket_type.id, is_hidden=ticket_type.is_hidden)
    ]
    if not offered:
        raise domain.VoucherNotApplicable("The voucher is for other ticket types.")
    return Offer(voucher, offered)


async def open_ticket_types(
    database: Database, organizers: Organizers, event_id: str, code: str
) -> Sequence[str]:
    """The ticket types of an event that a code names, and so opens if they are hidden.

    Raises:
        VoucherNotFound, VoucherNotApplicable, VoucherExhausted: see `check_voucher`.
    """
    organizer_id = await organizers.of(event_id)
    return (await _usable(database, organizer_id, event_id, code)).ticket_type_ids


async def _usable(database: Database, organizer_id: str, event_id: str, code: str) -> Voucher:
    """The voucher with a code, if anybody may use it for the event now."""
    async with database.begin() as tx:
        found = await store.look_up(tx, organizer_id, domain.normal_code(code), event_id)
    if found is None:
        raise domain.VoucherNotFound
    voucher, uses, now = found
    domain.check_moment(voucher, now)
    domain.check_event(voucher, event_id)
    domain.check_limits(voucher, uses)
    return voucher


async def _check_fits(tickets: TicketsClient, voucher: Voucher) -> None:
    event = await _event(tickets, voucher.event_id or "")
    if event is None:
        raise domain.EventNotFound
    ticket_type_ids = {ticket_type.id for ticket_type in event.ticket_types}
    domain.check_fits(voucher, event.organizer_id, event.currency_code, ticket_type_ids)


async def _event(tickets: TicketsClient, event_id: str) -> event_pb2.Event | None:
    try:
        return await tickets.event(event_id)
    except RemoteError as error:
        if error.reason == "EVENT_NOT_FOUND":
            return None
        raise


def _may_see(caller: Caller, event: event_pb2.Event) -> bool:
    is_public = event.state != event_pb2.EVENT_STATE_DRAFT
    return is_public or caller.works_for(event.organizer_id)


async def _visible(tx: Transaction, caller: Caller, voucher_id: str) -> Standing:
    standing = await store.get_voucher(tx, voucher_id)
    if standing is None or not caller.works_for(standing.voucher.organizer_id):
        raise domain.VoucherNotFound
    return standing
