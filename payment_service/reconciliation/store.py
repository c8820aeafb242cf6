"""Every SQL statement about reconciliations."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from kit.database import Transaction, signal
from kit.ids import first_id
from payment_service.orders.domain import OrderState
from payment_service.payments.domain import PaymentState
from payment_service.reconciliation.domain import (
    Finding,
    FindingKind,
    Reconciliation,
    ReconciliationState,
)
from payment_service.refunds.domain import RefundState
from payment_service.tables import (
    ledger_transactions,
    orders,
    payments,
    reconciliation_findings,
    reconciliations,
    refunds,
)

DUE = "reconciliations"  # the signal that there is one to run

SCANNED_AT_ONCE = 10_000  # rows of ours that one statement looks through
MAX_FINDINGS = 10_000  # of one reconciliation; what is beyond is found by the next
KEPT_FOR = timedelta(days=400)

_columns = reconciliations.c
_IDS = bindparam("ids", type_=ARRAY(Text))


async def insert(tx: Transaction, key: str, start: datetime, end: datetime) -> bool:
    """A new reconciliation, to be taken up at once; False while another one runs."""
    made = (
        upsert(reconciliations)
        .values(id=key, state=ReconciliationState.RUNNING, period_start=start, period_end=end)
        .on_conflict_do_nothing()
        .returning(_columns.id)
    )
    if (await tx.execute(made)).first() is None:
        return False
    signal(tx, DUE)
    return True


async def is_known(tx: Transaction, period_end: datetime) -> bool:
    """Whether a period that ends so is compared, or was.

    Who asks is alone with it until the transaction ends: replicas ask at the same time.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(DUE, 0))))
    query = select(_columns.id).where(_columns.period_end == period_end).limit(1)
    return (await tx.execute(query)).first() is not None


async def compared_until(tx: Transaction) -> datetime | None:
    """Up to when everything was compared, without a gap; None: nothing was to be compared yet."""
    found: datetime | None = (await tx.execute(_compared_until())).scalar_one()
    return found


def _compared_until() -> Select[Any]:
    """Until something was compared to its end, this is where the first one was to begin."""
    runs = reconciliations.alias().c
    return select(func.coalesce(func.max(runs.compared_until), func.min(runs.period_start)))


async def get(tx: Transaction, key: str) -> Reconciliation | None:
    """One reconciliation."""
    row = (await tx.execute(select(reconciliations).where(_columns.id == key))).first()
    return _reconciliation(row) if row else None


async def list_all(
    tx: Transaction, *, before: Sequence[str] | None, limit: int
) -> list[Reconciliation]:
    """Reconciliations, newest first."""
    query = select(reconciliations).order_by(_columns.id.desc()).limit(limit)
    if before:
        query = query.where(_columns.id < before[0])
    return [_reconciliation(row) for row in await tx.execute(query)]


async def findings(tx: Transaction, key: str, limit: int) -> list[Finding]:
    """What a reconciliation found: first what a person must look at."""
    found = reconciliation_findings.c
    query = (
        select(found.kind, found.subject, found.detail, found.is_healed)
        .where(found.reconciliation_id == key)
        .order_by(found.is_healed, found.kind, found.subject)
        .limit(limit)
    )
    return [
        Finding(FindingKind(kind), subject, detail, healed)
        for kind, subject, detail, healed in await tx.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Claim:
    """A reconciliation to run."""

    run: Reconciliation
    until: datetime  # nobody else takes it up before; after a crash it comes up again then


async def claim(tx: Transaction, lease: timedelta) -> Claim | None:
    """The reconciliation that runs, if nobody works on it; what was reported is compared anew."""
    unclaimed = or_(_columns.claimed_until.is_(None), _columns.claimed_until <= func.now())
    claimed = (
        update(reconciliations)
        .where(_columns.state == ReconciliationState.RUNNING, unclaimed)
        .values(claimed_until=func.now() + lease, examined=0, reported=0)
        .returning(reconciliations)
    )
    row = (await tx.execute(claimed)).first()
    if row is None:
        return None
    found = reconciliation_findings.c
    old = and_(found.reconciliation_id == row.id, found.is_healed.is_(False))
    await tx.execute(delete(reconciliation_findings).where(old))
    return Claim(_reconciliation(row), row.claimed_until)


async def proceed(tx: Transaction, claim: Claim, lease: timedelta, examined: int) -> Claim | None:
    """Keep a claim, and count what was examined; None when it is somebody else's by now."""
    kept = (
        update(reconciliations)
        .where(_columns.id == claim.run.id, _columns.claimed_until == claim.until)
        .values(claimed_until=func.now() + lease, examined=_columns.examined + examined)
        .returning(_columns.claimed_until)
    )
    row = (await tx.execute(kept)).first()
    return replace(claim, until=row[0]) if row else None


async def release(tx: Transaction, claim: Claim) -> None:
    """Let somebody go on at once."""
    mine = (_columns.id == claim.run.id, _columns.claimed_until == claim.until)
    await tx.execute(update(reconciliations).where(*mine).values(claimed_until=None))


async def finish(tx: Transaction, claim: Claim, *, is_complete: bool) -> None:
    """It is over: all was compared, or it was given up."""
    mine = (_columns.id == claim.run.id, _columns.claimed_until == claim.until)
    over = {"state": ReconciliationState.FINISHED, "finished_at": func.now()}
    adjoins = _columns.period_start <= _compared_until().scalar_subquery()
    until = case((adjoins, _columns.period_end)) if is_complete else None
    ended = update(reconciliations).where(*mine).values(**over, compared_until=until)
    await tx.execute(ended.values(claimed_until=None))


async def add_finding(tx: Transaction, key: str, finding: Finding) -> None:
    """Keep a finding, once, and count it."""
    counted = update(reconciliations).where(_columns.id == key)
    kept = _columns.healed + _columns.reported < MAX_FINDINGS
    values = {
        "reconciliation_id": key,
        "kind": finding.kind,
        "subject": finding.subject,
        "detail": finding.detail,
        "is_healed": finding.is_healed,
    }
    names = list(values)
    row = select(
        *(cast(literal(values[name]), reconciliation_findings.c[name].type) for name in names)
    )
    made = (
        upsert(reconciliation_findings)
        .from_select(names, row.select_from(reconciliations).where(_columns.id == key, kept))
        .on_conflict_do_nothing()
        .returning(reconciliation_findings.c.kind)
    )
    if (await tx.execute(made)).first() is not None:
        column = _columns.healed if finding.is_healed else _columns.reported
        await tx.execute(counted.values({column: column + 1}))


async def forget_old(tx: Transaction) -> None:
    """Drop the reconciliations that nobody asks about any more."""
    old = _columns.finished_at < func.now() - KEPT_FOR
    await tx.execute(delete(reconciliations).where(old))


# What of ours is looked at


@dataclass(frozen=True, slots=True)
class Slice:
    """Charged payments of ours by what the provider calls them, and where to go on after them."""

    charged: dict[str, str]
    last_id: str
    end: datetime | None  # None: there are no more


async def next_slice(
    tx: Transaction, after: str, end: datetime, most: int = SCANNED_AT_ONCE
) -> Slice:
    """Some of the payments that were made before `end`: after one, or after a moment's first id."""
    query = select(
        payments.c.id, payments.c.provider_id, payments.c.state, payments.c.created_at
    ).where(payments.c.id > after, payments.c.id < first_id("pay", end))
    rows = (await tx.execute(query.order_by(payments.c.id).limit(most))).all()
    charged = {
        row.provider_id: row.id
        for row in rows
        if row.provider_id and row.state == PaymentState.SUCCEEDED
    }
    if len(rows) < most:
        return Slice(charged, end=None, last_id="")
    return Slice(charged, end=rows[-1].created_at, last_id=rows[-1].id)


async def unbooked_payments(
    tx: Transaction, after: str, most: int = SCANNED_AT_ONCE
) -> tuple[list[str], str]:
    """Charged payments that the ledger lacks, of some after an id; and the last that was looked at.

    The last is empty when there are no more.
    """
    scanned = _page(payments.c.id, payments.c.state, after=after, most=most)
    query = select(scanned.c.id).where(
        scanned.c.state == PaymentState.SUCCEEDED, ~_is_booked("charge", scanned.c.id)
    )
    return list((await tx.execute(query)).scalars()), await _last(tx, payments.c.id, after, most)


async def unbooked_refunds(
    tx: Transaction, after: str, most: int = SCANNED_AT_ONCE
) -> tuple[list[str], str]:
    """The same of refunds that are out, or that failed and came back."""
    columns = (refunds.c.state, refunds.c.amount_minor, refunds.c.allocation)
    scanned = _page(refunds.c.id, *columns, after=after, most=most)
    has_entries = or_(scanned.c.amount_minor > 0, func.jsonb_array_length(scanned.c.allocation) > 0)
    is_out = and_(scanned.c.state.in_([RefundState.PENDING, RefundState.SUCCEEDED]), has_entries)
    lacks = or_(
        and_(is_out, ~_is_booked("refund", scanned.c.id)),
        and_(
            scanned.c.state == RefundState.FAILED,
            _is_booked("refund", scanned.c.id),
            ~_is_booked("refund_failed", scanned.c.id),
        ),
    )
    query = select(scanned.c.id).where(lacks)
    return list((await tx.execute(query)).scalars()), await _last(tx, refunds.c.id, after, most)


async def paid_for_nothing(
    tx: Transaction, after: str, most: int = SCANNED_AT_ONCE
) -> tuple[list[str], str]:
    """The same of paid orders that keep no charged payment."""
    scanned = _page(
        orders.c.id,
        orders.c.state,
        orders.c.total_minor,
        orders.c.payment_id,
        after=after,
        most=most,
    )
    kept = select(payments.c.id).where(
        payments.c.id == scanned.c.payment_id, payments.c.state == PaymentState.SUCCEEDED
    )
    query = select(scanned.c.id).where(
        scanned.c.state == OrderState.PAID, scanned.c.total_minor > 0, ~kept.exists()
    )
    return list((await tx.execute(query)).scalars()), await _last(tx, orders.c.id, after, most)


async def maybe_owed(
    tx: Transaction, after: str, most: int = SCANNED_AT_ONCE
) -> tuple[list[str], str]:
    """The same of charged payments with something left that is not kept, or failed to go back."""
    columns = (payments.c.order_id, payments.c.state, payments.c.refunded_minor)
    scanned = _page(payments.c.id, *columns, payments.c.amount_minor, after=after, most=most)
    keeps = select(orders.c.id).where(
        orders.c.id == scanned.c.order_id, orders.c.payment_id == scanned.c.id
    )
    failed = select(refunds.c.id).where(
        refunds.c.payment_id == scanned.c.id, refunds.c.state == RefundState.FAILED
    )
    query = select(scanned.c.id).where(
        scanned.c.state == PaymentState.SUCCEEDED,
        scanned.c.refunded_minor < scanned.c.amount_minor,
        or_(~keeps.exists(), failed.exists()),
    )
    return list((await tx.execute(query)).scalars()), await _last(tx, payments.c.id, after, most)


async def payments_of(tx: Transaction, provider_ids: Collection[str]) -> dict[str, str]:
    """Our payments, by what the provider calls them."""
    query = select(payments.c.provider_id, payments.c.id)
    found = await tx.execute(query.where(payments.c.provider_id.in_(provider_ids)))
    return {row[0]: row[1] for row in found}


def _page(key: ColumnElement[Any], *columns: ColumnElement[Any], after: str, most: int) -> Any:
    """Some rows of ours, so that no statement looks through all there are."""
    query: Select[Any] = select(key, *columns).where(key > after)
    return query.order_by(key).limit(most).subquery("scanned")


async def _last(tx: Transaction, key: ColumnElement[Any], after: str, most: int) -> str:
    page = select(key).where(key > after).order_by(key).limit(most).subquery()
    last: str | None = (await tx.execute(select(func.max(page.c.id)))).scalar_one()
    return last or ""


def _is_booked(kind: str, key: ColumnElement[Any]) -> ColumnElement[bool]:
    source = literal(f"{kind}:", Text).op("||")(key)
    return select(ledger_transactions.c.id).where(ledger_transactions.c.source == source).exists()


def _reconciliation(row: Row[Any]) -> Reconciliation:
    return Reconciliation(
        id=row.id,
        state=ReconciliationState(row.state),
        period_start=row.period_start,
        period_end=row.period_end,
        examined=row.examined,
        healed=row.healed,
        reported=row.reported,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
