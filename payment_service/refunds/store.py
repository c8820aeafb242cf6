"""Every SQL statement about refunds."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Row,
    Text,
    and_,
    cast,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from kit.database import Database, Transaction, signal
from payment_service.disputes.domain import DisputeState
from payment_service.refunds.domain import Refund, RefundOrigin, RefundState, Share
from payment_service.tables import disputes, orders, payments, refunds

LOOK_AFTER = timedelta(hours=1)  # until Stripe is asked what no webhook told

# What the customer got from their bank, and what of a payment neither that nor a refund takes.
# Who changes a dispute locks its order first; so does everybody who reads these to rely on them.
LOST = cast(
    select(func.coalesce(func.sum(disputes.c.amount_minor), 0))
    .where(disputes.c.payment_id == payments.c.id, disputes.c.state == DisputeState.LOST)
    .correlate(payments)
    .scalar_subquery(),
    BigInteger,
)
LEFT = payments.c.amount_minor - payments.c.refunded_minor - LOST


class Line(StrEnum):
    """Where refunds wait for attention; the value is the signal that one more does.

    Tickets must not be used while refunds wait for Stripe; and who gets their money back today must
    not stand behind the thousands of a cancelled event, whose tickets no door accepts anyway.
    """

    TICKETS = "refunds with tickets to cancel"
    MONEY = "refunds"
    OPERATIONS = "refunds of operations"

    @classmethod
    def of(cls, refund: Refund) -> "Line":
        if refund.operation_id:
            return cls.OPERATIONS
        return cls.MONEY if refund.tickets_cancelled else cls.TICKETS


async def insert_refund(tx: Transaction, refund: Refund, *, is_due: bool = True) -> None:
    """A new refund, that its worker takes up once this transaction has committed."""
    await _insert(tx, [refund], func.now() if is_due else None)
    if is_due:
        signal(tx, Line.of(refund))


async def insert_refunds(tx: Transaction, made: Sequence[Refund]) -> None:
    """New refunds of an operation, that their worker takes up once this has committed."""
    await _insert(tx, made, func.now())
    signal(tx, Line.OPERATIONS)


async def _insert(tx: Transaction, made: Sequence[Refund], next_attempt_at: Any) -> None:
    rows = [
        {
            "id": refund.id,
            "order_id": refund.order_id,
            "payment_id": refund.payment_id,
            "event_id": refund.event_id,
            "state": refund.state,
            "origin": refund.origin,
            "currency_code": refund.currency_code,
            "amount_minor": refund.amount_minor,
            "reason": refund.reason,
            "ticket_numbers": list(refund.ticket_numbers),
            "keep_off_sale": refund.keep_off_sale,
            "tickets_cancelled": refund.tickets_cancelled,
            "include_admitted": refund.include_admitted,
            "allocation": [list(share) for share in refund.allocation],
            "failure_reason": refund.failure_reason,
            "operation_id": refund.operation_id,
            "provider_id": refund.provider_id,
        }
        for refund in made
    ]
    await tx.execute(insert(refunds).values(next_attempt_at=next_attempt_at), rows)


async def reserve(tx: Transaction, payment_id: str, minor: int) -> None:
    """Take an amount of what is left of a locked payment, or give it back if it is negative.

    The table's CHECK refuses what is more than there is.
    """
    more = payments.c.refunded_minor + minor
    await tx.execute(
        update(payments).where(payments.c.id == payment_id).values(refunded_minor=more)
    )


async def reserve_all(tx: Transaction, made: Sequence[Refund]) -> None:
    """Take what refunds are about of their locked payments, each of another one."""
    taken = {each.payment_id: each.amount_minor for each in made if each.amount_minor}
    found = (
        func.unnest(cast(list(taken), ARRAY(Text)), cast(list(taken.values()), ARRAY(BigInteger)))
        .table_valued("payment_id", "minor", name="taken")
        .render_derived()
    )
    more = payments.c.refunded_minor + found.c.minor
    change = update(payments).where(payments.c.id == found.c.payment_id)
    await tx.execute(change.values(refunded_minor=more))


async def lock_payments(tx: Transaction, payment_ids: Sequence[str]) -> None:
    """Keep payments of locked orders to this transaction until it ends."""
    query = select(payments.c.id).where(payments.c.id.in_(payment_ids)).order_by(payments.c.id)
    await tx.execute(query.with_for_update())


async def get_left(tx: Transaction, payment_id: str) -> int:
    """What of a payment can go back; its row is locked until the transaction ends."""
    locked = select(LEFT).where(payments.c.id == payment_id).with_for_update()
    left: int = (await tx.execute(locked)).scalar_one()
    return max(left, 0)


async def get_lost(tx: Transaction, payment_id: str) -> int:
    """What of a payment the customer got from their bank."""
    query = select(LOST).where(payments.c.id == payment_id)
    lost: int = (await tx.execute(query)).scalar_one()
    return lost


@dataclass(frozen=True, slots=True)
class Source:
    """A payment that money can go back from, and how much."""

    payment_id: str
    left_minor: int
    lost_minor: int  # to the customer's bank
    is_kept: bool  # by its order; a charge that no order keeps goes back by itself, as a rule


async def lock_sources(tx: Transaction, order_id: str, kept_payment_id: str | None) -> list[Source]:
    """The charged payments of a locked order; first the one that it keeps."""
    query = (
        select(payments.c.id, func.greatest(LEFT, 0), LOST, payments.c.id == kept_payment_id)
        .where(payments.c.order_id == order_id, payments.c.state == "SUCCEEDED")
        .order_by(payments.c.id)
        .with_for_update()
    )
    found = [Source(*row) for row in await tx.execute(query)]
    return sorted(found, key=lambda source: not source.is_kept)


async def find_payment_id(tx: Transaction, provider_id: str) -> str | None:
    """Our payment that the provider calls so."""
    query = select(payments.c.id).where(payments.c.provider_id == provider_id)
    return (await tx.execute(query)).scalar_one_or_none()


async def get_refund(tx: Transaction, refund_id: str, *, lock: bool = False) -> Refund | None:
    """One refund; locked if asked. Its order is locked first, by everyone."""
    query = select(refunds).where(refunds.c.id == refund_id)
    row = (await tx.execute(query.with_for_update() if lock else query)).first()
    return _refund(row) if row else None


async def find_refund(tx: Transaction, provider_id: str) -> Refund | None:
    """A refund by what the provider calls it."""
    query = select(refunds).where(refunds.c.provider_id == provider_id)
    row = (await tx.execute(query)).first()
    return _refund(row) if row else None


async def find_refunds(
    tx: Transaction, refund_ids: Collection[str], provider_ids: Collection[str]
) -> list[Refund]:
    """Refunds by our ids, and by what the provider calls them."""
    query = select(refunds).where(
        refunds.c.id.in_(refund_ids) | refunds.c.provider_id.in_(provider_ids)
    )
    return [_refund(row) for row in await tx.execute(query)]


async def list_refunds(tx: Transaction, order_id: str) -> list[Refund]:
    """An order's refunds, oldest first."""
    query = select(refunds).where(refunds.c.order_id == order_id).order_by(refunds.c.id)
    return [_refund(row) for row in await tx.execute(query)]


async def lock_waiting(tx: Transaction, payment_id: str) -> list[Refund]:
    """The refunds of a locked payment that Stripe is yet to make, oldest first."""
    waiting = (refunds.c.payment_id == payment_id, refunds.c.state == RefundState.CREATED)
    query = select(refunds).where(*waiting, refunds.c.amount_minor > 0).order_by(refunds.c.id)
    return [_refund(row) for row in await tx.execute(query.with_for_update())]


async def list_refunds_of(tx: Transaction, order_ids: Sequence[str]) -> dict[str, list[Refund]]:
    """The refunds of orders, oldest first, by order id."""
    query = select(refunds).where(refunds.c.order_id.in_(order_ids)).order_by(refunds.c.id)
    found: dict[str, list[Refund]] = {}
    for row in await tx.execute(query):
        found.setdefault(row.order_id, []).append(_refund(row))
    return found


async def list_organizer_refunds(
    tx: Transaction,
    *,
    organizer_id: str,
    event_id: str,
    order_id: str,
    state: str,
    before: Sequence[str] | None,
    limit: int,
) -> list[Refund]:
    """Refunds that the filters admit, newest first; empty filters admit all."""
    query = select(refunds).order_by(refunds.c.id.desc()).limit(limit)
    if organizer_id:
        query = query.join(orders, orders.c.id == refunds.c.order_id).where(
            orders.c.organizer_id == organizer_id
        )
    for name, value in {"event_id": event_id, "order_id": order_id, "state": state}.items():
        if value:
            query = query.where(refunds.c[name] == value)
    if before:
        query = query.where(refunds.c.id < before[0])
    return [_refund(row) for row in await tx.execute(query)]


async def advance(tx: Transaction, refund: Refund, look_after: timedelta | None) -> None:
    """Store a refund's new state, and when to look at it again; None: never."""
    await update_refund(
        tx,
        refund.id,
        state=refund.state,
        provider_id=refund.provider_id,
        failure_reason=refund.failure_reason,
        next_attempt_at=None if look_after is None else func.now() + look_after,
        attempts=0,
    )


async def resize(tx: Transaction, refund: Refund) -> None:
    """Store what a locked refund is about from now on, for which Stripe is asked with a new key."""
    await update_refund(
        tx,
        refund.id,
        amount_minor=refund.amount_minor,
        allocation=[list(share) for share in refund.allocation],
        key_number=refund.key_number + 1,
    )


async def update_refund(tx: Transaction, refund_id: str, **values: Any) -> None:
    """Change columns of a refund."""
    await tx.execute(update(refunds).where(refunds.c.id == refund_id).values(values))


@dataclass(frozen=True, slots=True)
class Claim:
    """A refund to take up. `attempts` counts the times since it last got on."""

    refund_id: str
    attempts: int
    until: datetime  # nobody else takes it up before; after a crash it comes up again then


async def claim_due(tx: Transaction, line: Line, limit: int, lease: timedelta) -> list[Claim]:
    """Refunds of a line that need attention, longest waiting first."""
    due = (
        select(refunds.c.id)
        .where(refunds.c.next_attempt_at <= func.now(), _is_in(line))
        .order_by(refunds.c.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    claimed = (
        update(refunds)
        .where(refunds.c.id == due.c.id)
        .values(next_attempt_at=func.now() + lease, attempts=refunds.c.attempts + 1)
        .returning(refunds.c.id, refunds.c.attempts, refunds.c.next_attempt_at)
    )
    return [Claim(*row) for row in await tx.execute(claimed)]


async def next_due_in_s(tx: Transaction, line: Line) -> float | None:
    """Seconds until one of a line needs attention, by the database's clock; None: none does."""
    query = select(func.extract("epoch", func.min(refunds.c.next_attempt_at) - func.now()))
    seconds = (await tx.execute(query.where(_is_in(line)))).scalar_one()
    return None if seconds is None else float(seconds)


@dataclass(frozen=True, slots=True)
class Work:
    """A refund, what the provider calls its payment, and whether somebody else has the money."""

    refund: Refund
    due_at: datetime | None
    payment_provider_id: str | None
    is_disputed: bool  # the bank keeps it while it decides
    lost_minor: int  # of the payment, to the customer's bank
    is_overdrawn: bool  # what was lost and what refunds take are more than there is


async def get_work(database: Database, refund_id: str) -> Work:
    """A refund with all that its next step takes."""
    disputed = exists().where(disputes.c.payment_id == refunds.c.payment_id)
    query = (
        select(
            refunds,
            payments.c.provider_id.label("payment_provider_id"),
            disputed.where(disputes.c.state == DisputeState.OPEN).label("is_disputed"),
            func.coalesce(LOST, 0).label("lost_minor"),
            func.coalesce(LEFT < 0, literal(value=False)).label("is_overdrawn"),
        )
        .outerjoin(payments, payments.c.id == refunds.c.payment_id)
        .where(refunds.c.id == refund_id)
    )
    (row,) = await database.execute(query)
    return Work(
        _refund(row),
        row.next_attempt_at,
        row.payment_provider_id,
        row.is_disputed,
        row.lost_minor,
        row.is_overdrawn,
    )


async def tickets_are_cancelled(tx: Transaction, refund: Refund) -> None:
    """Store what a locked refund is about once its tickets are cancelled; the money follows."""
    await update_refund(
        tx,
        refund.id,
        tickets_cancelled=refund.tickets_cancelled,
        ticket_numbers=list(refund.ticket_numbers),
        amount_minor=refund.amount_minor,
        allocation=[list(share) for share in refund.allocation],
        next_attempt_at=func.now(),
        attempts=0,
    )
    signal(tx, Line.of(refund))


async def postpone(database: Database, claim: Claim, delay: timedelta | None) -> None:
    """Leave a claimed refund alone for a while (None: for good), unless it was made due again."""
    later = None if delay is None else func.now() + delay
    await database.execute(
        update(refunds)
        .where(refunds.c.id == claim.refund_id, refunds.c.next_attempt_at == claim.until)
        .values(next_attempt_at=later)
    )


async def wake(tx: Transaction, payment_id: str) -> None:
    """Have the refunds of a payment taken up that wait for its dispute to end."""
    waiting = (refunds.c.payment_id == payment_id, refunds.c.state == RefundState.CREATED)
    await tx.execute(update(refunds).where(*waiting).values(next_attempt_at=func.now()))
    for line in Line:
        signal(tx, line)


def _is_in(line: Line) -> ColumnElement[bool]:
    if line is Line.OPERATIONS:
        return refunds.c.operation_id.is_not(None)
    return and_(
        refunds.c.operation_id.is_(None), refunds.c.tickets_cancelled.is_(line is Line.MONEY)
    )


def _refund(row: Row[Any]) -> Refund:
    return Refund(
        id=row.id,
        order_id=row.order_id,
        payment_id=row.payment_id,
        event_id=row.event_id,
        state=RefundState(row.state),
        origin=RefundOrigin(row.origin),
        currency_code=row.currency_code,
        amount_minor=row.amount_minor,
        allocation=tuple(Share(*share) for share in row.allocation),
        ticket_numbers=tuple(row.ticket_numbers),
        keep_off_sale=row.keep_off_sale,
        tickets_cancelled=row.tickets_cancelled,
        include_admitted=row.include_admitted,
        reason=row.reason,
        failure_reason=row.failure_reason,
        operation_id=row.operation_id,
        provider_id=row.provider_id,
        key_number=row.key_number,
        attempts=row.attempts,
        created_at=row.created_at,
    )
