"""Every SQL statement about disputes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from kit.database import Transaction, signal
from payment_service.disputes.domain import Dispute, DisputeState
from payment_service.tables import disputes

DUE = "disputes"  # the signal that the tickets of a disputed order must follow it


async def insert_dispute(tx: Transaction, dispute: Dispute) -> None:
    """A new dispute, whose tickets follow once this transaction has committed."""
    await tx.execute(
        insert(disputes).values(
            id=dispute.id,
            provider_id=dispute.provider_id,
            payment_id=dispute.payment_id,
            order_id=dispute.order_id,
            event_id=dispute.event_id,
            organizer_id=dispute.organizer_id,
            state=dispute.state,
            currency_code=dispute.currency_code,
            amount_minor=dispute.amount_minor,
            reason=dispute.reason,
            opened_at=dispute.opened_at,
            evidence_due_at=dispute.evidence_due_at,
            next_attempt_at=func.now(),
        )
    )
    signal(tx, DUE)


async def update_dispute(tx: Transaction, dispute_id: str, **values: Any) -> None:
    """Change columns of a dispute."""
    await tx.execute(update(disputes).where(disputes.c.id == dispute_id).values(values))


async def close(tx: Transaction, dispute_id: str, state: DisputeState) -> None:
    """Store how a dispute ended; its tickets follow once this transaction has committed."""
    now = func.now()
    await update_dispute(
        tx, dispute_id, state=state, closed_at=now, next_attempt_at=now, attempts=0
    )
    signal(tx, DUE)


async def get_dispute(tx: Transaction, dispute_id: str) -> Dispute | None:
    """One dispute."""
    row = (await tx.execute(select(disputes).where(disputes.c.id == dispute_id))).first()
    return _dispute(row) if row else None


async def find_dispute(tx: Transaction, provider_id: str) -> Dispute | None:
    """A dispute by what the provider calls it, locked; its order is locked first, by everyone."""
    query = select(disputes).where(disputes.c.provider_id == provider_id).with_for_update()
    row = (await tx.execute(query)).first()
    return _dispute(row) if row else None


async def find_disputes(tx: Transaction, provider_ids: Collection[str]) -> list[Dispute]:
    """Disputes by what the provider calls them."""
    query = select(disputes).where(disputes.c.provider_id.in_(provider_ids))
    return [_dispute(row) for row in await tx.execute(query)]


async def list_open(tx: Transaction, before: datetime, after: str, limit: int) -> list[Dispute]:
    """Some of the open disputes that were opened before a moment, after an id."""
    is_open = disputes.c.state == DisputeState.OPEN
    query = select(disputes).where(disputes.c.id > after, disputes.c.opened_at < before, is_open)
    found = await tx.execute(query.order_by(disputes.c.id).limit(limit))
    return [_dispute(row) for row in found]


async def states_about(tx: Transaction, payment_id: str | None) -> list[DisputeState]:
    """Where all disputes about a payment are."""
    query = select(disputes.c.state).where(disputes.c.payment_id == payment_id)
    return [DisputeState(row[0]) for row in await tx.execute(query)]


async def disputed_as(tx: Transaction, payment_id: str) -> DisputeState | None:
    """Who has a payment's money: the bank while it decides, or for good; None: we do."""
    query = select(disputes.c.state).where(disputes.c.payment_id == payment_id)
    found = {DisputeState(row[0]) for row in await tx.execute(query)}
    return next((state for state in (DisputeState.LOST, DisputeState.OPEN) if state in found), None)


async def list_disputes(
    tx: Transaction,
    *,
    organizer_id: str,
    event_id: str,
    order_id: str,
    state: str,
    before: Sequence[str] | None,
    limit: int,
) -> list[Dispute]:
    """Disputes that the filters admit, newest first; empty filters admit all."""
    query = select(disputes).order_by(disputes.c.id.desc()).limit(limit)
    given = {"organizer_id": organizer_id, "event_id": event_id, "order_id": order_id}
    for name, value in {**given, "state": state}.items():
        if value:
            query = query.where(disputes.c[name] == value)
    if before:
        query = query.where(disputes.c.id < before[0])
    return [_dispute(row) for row in await tx.execute(query)]


@dataclass(frozen=True, slots=True)
class Claim:
    """A dispute whose tickets must follow it. `attempts` counts the times since it last changed."""

    dispute_id: str
    order_id: str
    attempts: int
    until: datetime  # nobody else takes it up before; after a crash it comes up again then


async def claim_due(tx: Transaction, limit: int, lease: timedelta) -> list[Claim]:
    """Disputes whose tickets must follow them, longest waiting first."""
    due = (
        select(disputes.c.id)
        .where(disputes.c.next_attempt_at <= func.now())
        .order_by(disputes.c.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    claimed = (
        update(disputes)
        .where(disputes.c.id == due.c.id)
        .values(next_attempt_at=func.now() + lease, attempts=disputes.c.attempts + 1)
        .returning(
            disputes.c.id, disputes.c.order_id, disputes.c.attempts, disputes.c.next_attempt_at
        )
    )
    return [Claim(*row) for row in await tx.execute(claimed)]


async def next_due_in_s(tx: Transaction) -> float | None:
    """Seconds until tickets must follow a dispute, by the database's clock; None: none must."""
    query = select(func.extract("epoch", func.min(disputes.c.next_attempt_at) - func.now()))
    seconds = (await tx.execute(query)).scalar_one()
    return None if seconds is None else float(seconds)


async def followed(tx: Transaction, claim: Claim, fate: str) -> None:
    """The tickets are where the dispute wants them, unless it changed meanwhile."""
    await _release(tx, claim, tickets_follow=fate, next_attempt_at=None, attempts=0)


async def postpone(tx: Transaction, claim: Claim, delay: timedelta) -> None:
    """Try again later, unless the dispute changed meanwhile."""
    await _release(tx, claim, next_attempt_at=func.now() + delay)


async def _release(tx: Transaction, claim: Claim, **values: Any) -> None:
    claimed = (disputes.c.id == claim.dispute_id, disputes.c.next_attempt_at == claim.until)
    await tx.execute(update(disputes).where(*claimed).values(values))


def _dispute(row: Row[Any]) -> Dispute:
    return Dispute(
        id=row.id,
        provider_id=row.provider_id,
        payment_id=row.payment_id,
        order_id=row.order_id,
        event_id=row.event_id,
        organizer_id=row.organizer_id,
        state=DisputeState(row.state),
        currency_code=row.currency_code,
        amount_minor=row.amount_minor,
        reason=row.reason,
        opened_at=row.opened_at,
        evidence_due_at=row.evidence_due_at,
        closed_at=row.closed_at,
    )
