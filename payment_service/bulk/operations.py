"""Beginning, watching and carrying on what is done to all orders of an event.

An operation takes its event's orders up page by page, each in one transaction with the cursor: a
process that dies repeats nothing. What then takes time, such as money on its way back, is counted.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import IntegrityError
from tessera.payment.v1 import messages_pb2
from tessera.ticket.v1 import messages_pb2 as ticket_messages

from kit import inbox, outbox, paging, telemetry
from kit.auth import Caller
from kit.database import Database, DatabaseUnavailable, Transaction
from kit.errors import TesseraError
from kit.idempotency import Once
from kit.ids import new_id
from payment_service.bulk import domain, store
from payment_service.bulk.domain import Operation, OperationKind, OperationState, Progress
from payment_service.bulk.store import Claim
from payment_service.orders import ending
from payment_service.orders import store as orders
from payment_service.orders.domain import ForbiddenTransition, Order, OrderState
from payment_service.refunds import opening
from payment_service.refunds.domain import NothingToRefund, RefundOrigin

PAGE = 100
MOST_UNDER_WAY = 500  # refunds that wait for Stripe, beyond which no more are opened
MOST_SKIPPED = 1000  # orders with an error of their own: more is not about the orders
LEASE = timedelta(seconds=30)
COUNT_EVERY = timedelta(seconds=1)
SHORTEST_SLEEP_S = 0.05
LONGEST_SLEEP_S = 2.0
LONGEST_DELAY_S = 60


_ITS_OWN = (TesseraError, ForbiddenTransition, IntegrityError)  # what is wrong with one order only


class TooManyFailures(Exception):
    """One order after the other fails: something else is wrong."""


async def begin_refunds(
    database: Database, message_id: str, cancelled: ticket_messages.EventCancelled
) -> None:
    """Begin to refund every order of a cancelled event."""
    async with database.begin() as tx:
        if await inbox.first_time(tx, message_id):
            kind = OperationKind.REFUND_EVENT
            operation = _new(kind, cancelled.event_id, cancelled.organizer_id, {})
            await store.insert_operation(tx, operation)


async def begin_announcement(
    database: Database, message_id: str, changed: ticket_messages.EventUpdated
) -> None:
    """Begin to tell everybody who has paid that their event has changed."""
    details = {
        "version": changed.version,
        "title": changed.previous_title,
        "location": changed.previous_location,
        "starts_at": _json(changed, "previous_starts_at"),
        "ends_at": _json(changed, "previous_ends_at"),
    }
    async with database.begin() as tx:
        if await inbox.first_time(tx, message_id):
            kind = OperationKind.ANNOUNCE_CHANGE
            operation = _new(kind, changed.event_id, changed.organizer_id, details)
            await store.insert_operation(tx, operation)


async def get_operation(database: Database, caller: Caller, operation_id: str) -> Progress:
    """An operation and how far it is.

    Raises:
        OperationNotFound: there is none, or it is somebody else's.
    """
    async with database.begin() as tx:
        operation = await _visible(tx, caller, operation_id)
        return (await store.progress(tx, [operation]))[0]


async def list_operations(
    database: Database, organizer_id: str, *, event_id: str, page_size: int, page_token: str
) -> tuple[Sequence[Progress], str]:
    """A page of an organizer's operations, newest first, and the next page's token.

    An empty organizer is the superadmin's: everybody's.
    """
    size = paging.page_size(page_size)
    question = f"{organizer_id}|{event_id}"
    async with database.begin() as tx:
        found = await store.list_operations(
            tx,
            organizer_id=organizer_id,
            event_id=event_id,
            before=paging.decode(page_token, question, 1),
            limit=size + 1,
        )
        page, token = paging.cut(found, size, question, lambda operation: (operation.id,))
        return await store.progress(tx, page), token


async def retry_operation(
    database: Database, caller: Caller, operation_id: str, once: Once[Progress]
) -> Progress:
    """Try the orders again that failed; where none did, nothing happens.

    Raises:
        OperationNotFound, OperationRunning: there is none to retry.
    """
    async with database.begin() as tx:
        await once.claim(tx)
        operation = await _visible(tx, caller, operation_id, lock=True)
        (progress,) = await store.progress(tx, [operation])
        if domain.check_retry(progress):
            domain.move(operation, OperationState.RUNNING)
            details = {**operation.details, "retry": True, "skipped": []}
            await store.begin_again(tx, operation.id, details)
            operation = await _visible(tx, caller, operation_id)
            (progress,) = await store.progress(tx, [operation])
        return await once.record(tx, progress)


async def carry_on(database: Database) -> None:
    """Take up the next page of an operation that is due; then sleep until there may be more."""
    async with database.begin() as tx:
        claim = await store.claim_due(tx, LEASE)
        due_in_s = None if claim else await store.next_due_in_s(tx)
    if claim is None:
        sleep_s = LONGEST_SLEEP_S if due_in_s is None else max(due_in_s, SHORTEST_SLEEP_S)
        await database.wait(store.DUE, min(sleep_s, LONGEST_SLEEP_S))
        return
    try:
        async with database.begin() as tx:
            await store.release(tx, claim, await _take_page(tx, claim.operation_id))
    except Exception as error:  # one operation's trouble is not another's
        if isinstance(error, TesseraError):
            telemetry.log.warning("delayed", operation_id=claim.operation_id, why=error.reason)
        else:
            telemetry.log.exception("operation failed", operation_id=claim.operation_id)
        await _postpone(database, claim)


async def _postpone(database: Database, claim: Claim) -> None:
    delay = timedelta(seconds=min(0.2 * 2 ** min(claim.attempts, 20), LONGEST_DELAY_S))
    with suppress(DatabaseUnavailable):  # then the lease runs out
        async with database.begin() as tx:
            await store.release(tx, claim, delay, failed=True)


async def _take_page(tx: Transaction, operation_id: str) -> timedelta | None:
    """Take up the next orders of an operation; answers when to go on, None: never."""
    operation = await store.get_operation(tx, operation_id, lock=True)
    assert operation is not None, "operations are never deleted"
    (progress,) = await store.progress(tx, [operation])
    if not operation.all_found:
        if progress.under_way >= MOST_UNDER_WAY:
            return COUNT_EVERY
        if operation.kind is OperationKind.REFUND_EVENT:
            await _refund_page(tx, operation)
        else:
            await _announce_page(tx, operation)
        return timedelta()
    state = domain.state_of(progress)
    if state is OperationState.RUNNING:
        return COUNT_EVERY
    if state is not operation.state:
        await store.finish(tx, operation.id, domain.move(operation, state))
    return None


async def _refund_page(tx: Transaction, operation: Operation) -> None:
    """Cancel a page of orders. Those left out have an error of their own, and are counted."""
    page = await store.page_of_orders(tx, operation.event_id, operation.cursor, PAGE)
    found = await orders.lock_orders(tx, page)
    failed = await store.failed_order_ids(tx, operation.id, page) if operation.is_retry else set()
    total, skipped = operation.total, set(operation.skipped)
    try:
        async with tx.begin_nested():
            total += await _call_off(tx, operation, found, failed)
    except _ITS_OWN:
        for order in found:
            try:
                async with tx.begin_nested():
                    total += await _call_off(tx, operation, [order], failed)
            except _ITS_OWN:
                telemetry.log.exception("order left out", order_id=order.id)
                skipped.add(order.id)
    if len(skipped) > MOST_SKIPPED:
        raise TooManyFailures
    details = {**operation.details, "skipped": sorted(skipped)}
    moved: dict[str, Any] = {"cursor": page[-1] if page else operation.cursor}
    if len(page) < PAGE:
        # An order may have come in behind the cursor, from a clock that is late.
        is_complete = not await store.has_live_orders(tx, operation.event_id, sorted(skipped))
        details.pop("retry", None)
        moved = {"cursor": moved["cursor"] if is_complete else "", "all_found": is_complete}
    await store.update_operation(tx, operation.id, total=total, details=details, **moved)


async def _call_off(
    tx: Transaction, operation: Operation, found: Sequence[Order], failed: Collection[str]
) -> int:
    """End locked orders of a cancelled event; how many more there were that needed it."""
    waiting = [order for order in found if order.state is OrderState.PENDING]
    for order in waiting:
        await ending.cancel(tx, order, "EVENT_CANCELLED")  # what is being paid for it goes back
    paid = [order for order in found if order.state is OrderState.PAID]
    if paid:
        await opening.cancel_orders_of_event(tx, paid, operation.id)
    for order in found:
        if order.id in failed:
            with suppress(NothingToRefund):  # somebody else saw to it
                await opening.refund_rest(
                    tx, order, origin=RefundOrigin.EVENT_CANCELLED, operation_id=operation.id
                )
    return len(waiting) + len(paid)


async def _announce_page(tx: Transaction, operation: Operation) -> None:
    """Tell the customers of a page of paid orders."""
    page = await store.page_of_paid_orders(tx, operation.event_id, operation.cursor, PAGE)
    told = [_updated(operation, order_id) for order_id in page]
    await outbox.add_all(tx, told, version=operation.details["version"])
    await store.update_operation(
        tx,
        operation.id,
        total=operation.total + len(page),
        cursor=page[-1] if page else operation.cursor,
        all_found=len(page) < PAGE,
    )


def _updated(operation: Operation, order_id: str) -> messages_pb2.OrderEventUpdated:
    before: Mapping[str, Any] = operation.details
    told = messages_pb2.OrderEventUpdated(
        order_id=order_id,
        event_id=operation.event_id,
        organizer_id=operation.organizer_id,
        event_version=before["version"],
        previous_title=before["title"],
        previous_location=before["location"],
    )
    for name in ("starts_at", "ends_at"):
        if before[name]:
            getattr(told, f"previous_{name}").FromJsonString(before[name])
    return told


def _json(changed: ticket_messages.EventUpdated, name: str) -> str:
    return getattr(changed, name).ToJsonString() if changed.HasField(name) else ""  # type: ignore[arg-type]


def _new(
    kind: OperationKind, event_id: str, organizer_id: str, details: Mapping[str, Any]
) -> Operation:
    return Operation(new_id("op"), kind, OperationState.RUNNING, event_id, organizer_id, details)


async def _visible(
    tx: Transaction, caller: Caller, operation_id: str, *, lock: bool = False
) -> Operation:
    operation = await store.get_operation(tx, operation_id, lock=lock)
    if operation is None or not caller.works_for(operation.organizer_id):
        raise domain.OperationNotFound
    return operation
