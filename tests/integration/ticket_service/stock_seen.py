"""The stock of one event as the services show it: what is compared with the model."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tests.integration.ticket_service.lines import line, state_of
from tests.integration.ticket_service.support import Organizer, Shop


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as the services show it."""

    stock: list[tuple[int, int]]  # of each type, in all and what is left
    quotas: dict[str, tuple[int, int]]  # likewise
    seats: list[str]  # at each replica
    holds: dict[str, str]
    tickets: dict[tuple[str, int], list[str]]  # by hold and number: the states of each
    line: dict[str, str]
    offers: dict[str, tuple[str, tuple[int, ...]]]


async def look(
    one: Shop, other: Shop, organizer: Organizer, event_id: str, seat_ids: Sequence[str]
) -> Seen:
    """What can be seen through two replicas; seats are known by their position in `seat_ids`."""
    event, quotas, entries, here, there, rows, tickets = await asyncio.gather(
        one.see(event_id),
        other.quotas(organizer, event_id),
        line(other, organizer, event_id),
        one.seat_states(event_id),
        other.seat_states(event_id),
        one.execute(_HOLDS, id=event_id),
        other.execute(_TICKETS, id=event_id),
    )
    seats = {
        hold_id: tuple(seat_ids.index(seat_id) for seat_id in named or ())
        for hold_id, _, named in rows
    }
    return Seen(
        stock=[(kind.total_stock, kind.remaining) for kind in event.ticket_types],
        quotas={quota.id: (quota.size, quota.remaining) for quota in quotas},
        seats=[here.states, there.states],
        holds={hold_id: state for hold_id, state, _ in rows},
        tickets={(hold_id, number): states for hold_id, number, states in tickets},
        line={entry.id: state_of(entry) for entry in entries.waitlist_entries},
        offers={
            entry.id: (entry.hold_id, seats[entry.hold_id])
            for entry in entries.waitlist_entries
            if entry.hold_id
        },
    )


_HOLDS = """
    SELECT holds.id, holds.state,
        array_agg(named.seat_id ORDER BY named.number) FILTER (WHERE named.seat_id <> '')
    FROM holds JOIN hold_items items ON items.hold_id = holds.id
    LEFT JOIN unnest(items.seat_ids) WITH ORDINALITY AS named (seat_id, number) ON true
    WHERE holds.event_id = :id GROUP BY holds.id
"""
_TICKETS = """
    SELECT hold_id, number, array_agg(state ORDER BY transfers)
    FROM tickets WHERE event_id = :id GROUP BY hold_id, number
"""
