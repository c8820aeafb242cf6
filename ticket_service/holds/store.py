"""Every SQL statement about holds.

The order and strength of locks: see catalog/store.py.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Integer,
    Interval,
    LargeBinary,
    Row,
    Text,
    bindparam,
    case,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from kit.database import Transaction
from ticket_service.holds.domain import Hold, HoldItem, HoldState, NewHold
from ticket_service.seating.domain import AssignedSeat
from ticket_service.tables import event_seats, hold_items, holds, ticket_types

EXPIRY_BATCH = 1000

_NO_KEY = (None, None)
_IDS = bindparam("ids", type_=ARRAY(Text))


async def insert_holds(
    tx: Transaction,
    event_id: str,
    currency_code: str,
    lifetime: timedelta,
    made: Sequence[NewHold],
    keys: Mapping[str, tuple[str, bytes]],
) -> list[Hold]:
    """Live holds, whose deadline is by the database's clock.

    `keys` are the idempotency keys, with the fingerprints of their requests, by hold id.
    """
    row = (
        await tx.execute(
            _INSERT_HOLDS,
            {
                "event_id": event_id,
                "currency_code": currency_code,
                "lifetime": lifetime,
                "ids": [hold.id for hold in made],
                # What nobody has is left out: SQL fills a shorter array up with nulls.
                "keys": [keys.get(hold.id, _NO_KEY)[0] for hold in made] if keys else [],
                "fingerprints": [keys.get(hold.id, _NO_KEY)[1] for hold in made] if keys else [],
            },
        )
    ).first()
    assert row is not None, "a hold was made"
    items = [(hold.id, *each) for hold in made for each in enumerate(hold.items)]
    has_seats = any(item.seats for _, _, item in items)
    await tx.execute(
        _INSERT_ITEMS,
        {
            "ids": [hold_id for hold_id, _, _ in items],
            "positions": [position for _, position, _ in items],
            "ticket_type_ids": [item.ticket_type_id for _, _, item in items],
            "quantities": [item.quantity for _, _, item in items],
            "seats": [_joined(item.seats) for _, _, item in items] if has_seats else [],
        },
    )
    state, expires_at, created_at = HoldState.ACTIVE, row.expires_at, row.created_at
    return [
        Hold(hold.id, event_id, state, currency_code, hold.items, expires_at, created_at)
        for hold in made
    ]


async def claim_by_keys(tx: Transaction, keys: Collection[str]) -> dict[str, tuple[Hold, bytes]]:
    """The holds that idempotency keys made before, with their requests' fingerprints, by key.

    From now on they are not abandoned, even if the first to ask never heard of them.
    """
    query = (
        select(holds)
        .where(holds.c.idempotency_key == func.any(_IDS))
        .order_by(holds.c.id)
        .with_for_update(key_share=True)
    )
    rows = (await tx.execute(query, {"ids": list(keys)})).all()
    if unclaimed := [row.id for row in rows if not row.is_claimed]:
        claimed = update(holds).where(holds.c.id == func.any(_IDS)).values(is_claimed=True)
        await tx.execute(claimed, {"ids": unclaimed})
    found = await _holds(tx, rows)
    return {
        row.idempotency_key: (hold, row.fingerprint) for row, hold in zip(rows, found, strict=True)
    }


async def get_hold(tx: Transaction, hold_id: str) -> Hold | None:
    """One hold with its items."""
    return (await get_holds(tx, [hold_id])).get(hold_id)


async def get_holds(tx: Transaction, hold_ids: Collection[str]) -> dict[str, Hold]:
    """Those of the holds that there are, with their items, by id."""
    rows = (await tx.execute(_BY_ID, {"ids": list(hold_ids)})).all()
    return {hold.id: hold for hold in await _holds(tx, rows)}


async def lock_holds(tx: Transaction, hold_ids: Collection[str]) -> dict[str, Hold]:
    """Those of the holds that there are, with their items, by id; locked in id order."""
    query = _BY_ID.order_by(holds.c.id).with_for_update(key_share=True)
    rows = (await tx.execute(query, {"ids": list(hold_ids)})).all()
    return {hold.id: hold for hold in await _holds(tx, rows)}


async def lock_order(tx: Transaction, order_id: str) -> None:
    """Lock the hold that became an order's tickets: who adds or moves one of them has it."""
    of_order = select(holds.c.id).where(holds.c.order_id == order_id)
    await tx.execute(of_order.with_for_update(key_share=True))


async def move(tx: Transaction, hold_ids: Collection[str], state: HoldState) -> None:
    """Move locked holds to another state."""
    changed = update(holds).where(holds.c.id == func.any(_IDS)).values(state=state)
    await tx.execute(changed, {"ids": list(hold_ids)})


_given = (
    func.unnest(_IDS, bindparam("order_ids", type_=ARRAY(Text)))
    .table_valued("id", "order_id")
    .render_derived(name="given")
)
_GIVE = update(holds).where(holds.c.id == _given.c.id).values(order_id=_given.c.order_id)
_GIVE_AND_MOVE = _GIVE.values(state=bindparam("to_state"))


async def give_to_orders(
    tx: Transaction, orders: Mapping[str, str], state: HoldState | None = None
) -> None:
    """Note which order each of some locked holds belongs to, and move them if a state is given.

    `orders` are order ids by hold id.
    """
    values = {"ids": list(orders), "order_ids": list(orders.values())}
    if state is None:
        await tx.execute(_GIVE, values)
    else:
        await tx.execute(_GIVE_AND_MOVE, {**values, "to_state": state})


async def abandon(tx: Transaction, hold_ids: Collection[str]) -> list[Hold]:
    """Release those of the holds that are live and unclaimed, and free their keys; answers them."""
    released = (
        update(holds)
        .where(
            holds.c.id == func.any(_IDS),
            holds.c.state == HoldState.ACTIVE,
            holds.c.is_claimed.is_(False),
        )
        .values(state=HoldState.RELEASED, idempotency_key=None)
        .returning(holds)
    )
    rows = (await tx.execute(released, {"ids": list(hold_ids)})).all()
    return await _holds(tx, rows)


async def find_due_events(tx: Transaction) -> list[str]:
    """The events of holds whose deadline has passed."""
    found = await tx.execute(select(holds.c.event_id).where(*_DUE).distinct().limit(EXPIRY_BATCH))
    return list(found.scalars())


async def expire_due(tx: Transaction, event_id: str | None = None) -> list[Hold]:
    """Expire holds whose deadline has passed, of one event or of all, oldest first."""
    of_event = () if event_id is None else (holds.c.event_id == event_id,)
    due = (
        select(holds.c.id)
        .where(*_DUE, *of_event)
        .order_by(holds.c.expires_at)
        .limit(EXPIRY_BATCH)
        .with_for_update(key_share=True, skip_locked=True)
        .cte("due")
    )
    expired = (
        update(holds).where(holds.c.id == due.c.id).values(state=HoldState.EXPIRED).returning(holds)
    )
    return await _holds(tx, (await tx.execute(expired)).all())


async def next_due_in_s(tx: Transaction) -> float | None:
    """Seconds until the next deadline, by the database's clock; None without live holds."""
    query = select(func.extract("epoch", func.min(holds.c.expires_at) - func.now())).where(
        holds.c.state == HoldState.ACTIVE
    )
    seconds = (await tx.execute(query)).scalar_one()
    return None if seconds is None else float(seconds)


_DUE = (holds.c.state == HoldState.ACTIVE, holds.c.expires_at <= func.now())
_BY_ID = select(holds).where(holds.c.id == func.any(_IDS))

_GIVEN_HOLDS = (
    func.unnest(
        _IDS,
        bindparam("keys", type_=ARRAY(Text)),
        bindparam("fingerprints", type_=ARRAY(LargeBinary)),
    )
    .table_valued("id", "key", "fingerprint")
    .render_derived(name="given")
)
_INSERT_HOLDS = (
    insert(holds)
    .from_select(
        [
            "id",
            "event_id",
            "state",
            "currency_code",
            "expires_at",
            "idempotency_key",
            "fingerprint",
        ],
        select(
            _GIVEN_HOLDS.c.id,
            bindparam("event_id", type_=Text),
            literal(HoldState.ACTIVE.value, Text),
            bindparam("currency_code", type_=Text),
            func.now() + bindparam("lifetime", type_=Interval),
            _GIVEN_HOLDS.c.key,
            _GIVEN_HOLDS.c.fingerprint,
        ),
    )
    .returning(holds.c.expires_at, holds.c.created_at)
)
_GIVEN_ITEMS = (
    func.unnest(
        _IDS,
        bindparam("positions", type_=ARRAY(Integer)),
        bindparam("ticket_type_ids", type_=ARRAY(Text)),
        bindparam("quantities", type_=ARRAY(Integer)),
        bindparam("seats", type_=ARRAY(Text)),
    )
    .table_valued("hold_id", "position", "ticket_type_id", "quantity", "seats")
    .render_derived(name="given")
)
_INSERT_ITEMS = insert(hold_items).from_select(
    [
        "hold_id",
        "ticket_type_id",
        "event_id",
        "position",
        "ticket_type_name",
        "quantity",
        "unit_price_minor",
        "seat_ids",
    ],
    select(
        _GIVEN_ITEMS.c.hold_id,
        _GIVEN_ITEMS.c.ticket_type_id,
        ticket_types.c.event_id,
        _GIVEN_ITEMS.c.position,
        ticket_types.c.name,
        _GIVEN_ITEMS.c.quantity,
        ticket_types.c.price_minor,
        # An array of arrays would have to be rectangular.
        case((_GIVEN_ITEMS.c.seats != "", func.string_to_array(_GIVEN_ITEMS.c.seats, " "))),
    ).join_from(_GIVEN_ITEMS, ticket_types, ticket_types.c.id == _GIVEN_ITEMS.c.ticket_type_id),
)
_ITEMS = (
    select(hold_items)
    .where(hold_items.c.hold_id == func.any(_IDS))
    .order_by(hold_items.c.hold_id, hold_items.c.position)
)
_SEATS = select(
    event_seats.c.event_id,
    event_seats.c.seat_id,
    event_seats.c.section,
    event_seats.c.row,
    event_seats.c.number,
).where(
    event_seats.c.event_id == func.any(bindparam("event_ids", type_=ARRAY(Text))),
    event_seats.c.seat_id == func.any(_IDS),
)


def _joined(seats: Sequence[AssignedSeat]) -> str:
    return " ".join(seat.seat_id for seat in seats)


async def _holds(tx: Transaction, rows: Sequence[Row[Any]]) -> list[Hold]:
    """Rows of `holds` with their items, in the order of the rows."""
    if not rows:
        return []
    items = (await tx.execute(_ITEMS, {"ids": [row.id for row in rows]})).all()
    seats = await _seats(tx, items)
    found: defaultdict[str, list[HoldItem]] = defaultdict(list)
    for row in items:
        found[row.hold_id].append(
            HoldItem(
                row.ticket_type_id,
                row.ticket_type_name,
                row.quantity,
                row.unit_price_minor,
                tuple(seats[row.event_id, seat_id] for seat_id in row.seat_ids or ()),
            )
        )
    return [
        Hold(
            id=row.id,
            event_id=row.event_id,
            state=HoldState(row.state),
            currency_code=row.currency_code,
            items=tuple(found[row.id]),
            expires_at=row.expires_at,
            created_at=row.created_at,
            order_id=row.order_id,
        )
        for row in rows
    ]


async def _seats(tx: Transaction, items: Iterable[Row[Any]]) -> dict[tuple[str, str], AssignedSeat]:
    """The seats that items name, by event and seat id."""
    # What the map of an event that was seated anew no longer has is known by its id only.
    named = {
        (row.event_id, seat_id): AssignedSeat(seat_id, "", "", "")
        for row in items
        for seat_id in row.seat_ids or ()
    }
    if named:
        values = {
            "event_ids": list({event_id for event_id, _ in named}),
            "ids": [seat_id for _, seat_id in named],
        }
        for row in await tx.execute(_SEATS, values):
            key = row.event_id, row.seat_id
            if key in named:
                named[key] = AssignedSeat(row.seat_id, row.section, row.row, row.number)
    return named
