"""Asking for refunds, and taking them to their end, one durable step at a time."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from tessera.ticket.v1 import ticket_pb2

from kit import paging, telemetry
from kit.auth import Caller
from kit.database import Database, DatabaseUnavailable, Transaction
from kit.errors import TesseraError
from kit.idempotency import Once
from kit.money import Money
from payment_service.disputes import store as disputes
from payment_service.disputes.domain import DisputeState
from payment_service.orders import store as orders
from payment_service.orders.access import seen_by
from payment_service.orders.domain import Order, OrderNotPaid, OrderState
from payment_service.payments.domain import PaymentProviderUnavailable, PaymentRefused
from payment_service.payments.pacer import Lane, in_lane
from payment_service.payments.provider import PaymentProvider
from payment_service.pricing.domain import tickets_of
from payment_service.refunds import domain, fitting, observing, opening, store
from payment_service.refunds.domain import Plan, Refund, RefundOrigin, Step
from payment_service.refunds.store import Claim, Source, Work
from payment_service.tickets_client import TicketsClient

LONGEST_DELAY_S = 60
DISPUTE_CHECK = timedelta(hours=1)  # its end makes the refund due; this is for a lost webhook
LONGEST_LOOK = timedelta(days=1)
# Refused for a dispute, of which no webhook may have told yet. https://docs.stripe.com/error-codes
DISPUTED = frozenset({"charge_disputed", "refund_disputed_payment"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What an admin asks to be given back."""

    order_id: str
    amount: Money | None
    ticket_ids: tuple[str, ...]
    keep_off_sale: bool
    keep_booking_fee: bool
    include_admitted: bool
    reason: str


async def create_refund(
    database: Database, tickets: TicketsClient, caller: Caller, wish: Wish, once: Once[Refund]
) -> Refund:
    """Decide a refund of a paid order; its worker does the rest.

    Raises:
        OrderNotFound, OrderNotPaid, OrderDisputed: the order has nothing to give back.
        TicketNotFound, TicketNotValid, TicketAdmitted: a ticket cannot be taken back.
        NothingToRefund, RefundTooLarge, CurrencyMismatch, InvalidAmount: it is none, or too much.
    """
    async with database.begin() as tx:
        await once.claim(tx)
        order = await _visible(tx, caller, wish.order_id)
    chosen: list[int] | None = None
    if order.state is OrderState.PAID and (wish.ticket_ids or wish.amount is None):
        issued = await tickets.tickets(order.id)
        chosen = choose(issued, wish.ticket_ids, include_admitted=wish.include_admitted)
    async with database.begin() as tx:
        await once.claim(tx)
        order = await _visible(tx, caller, wish.order_id, lock=True)
        known = await store.list_refunds(tx, order.id)
        source, plan = await _plan(tx, order, known, wish, chosen)
        refund = await opening.open_refund(
            tx,
            order,
            source.payment_id if source else None,
            plan,
            RefundOrigin.ADMIN,
            known=known,
            reason=wish.reason,
            keep_off_sale=wish.keep_off_sale,
            include_admitted=wish.include_admitted,
        )
        stored = await store.get_refund(tx, refund.id)
        assert stored is not None, "it was stored a moment ago"
        answer = await once.record(tx, stored)
    await take_tickets(database, tickets, refund)
    return answer


async def take_tickets(database: Database, tickets: TicketsClient, refund: Refund) -> None:
    """Cancel a new refund's tickets before somebody uses them; its worker does what fails here."""
    if domain.next_step(refund) is not Step.CANCEL_TICKETS:
        return
    try:
        await _cancel_tickets(database, tickets, refund)
    except TesseraError as error:
        telemetry.log.warning("tickets not cancelled yet", refund_id=refund.id, why=error.reason)


async def get_refund(database: Database, caller: Caller, order_id: str, refund_id: str) -> Refund:
    """One of an order's refunds.

    Raises:
        OrderNotFound, RefundNotFound: there is none, or it is somebody else's.
    """
    async with database.begin() as tx:
        await _visible(tx, caller, order_id)
        refund = await store.get_refund(tx, refund_id)
    if refund is None or refund.order_id != order_id:
        raise domain.RefundNotFound
    return refund


async def list_refunds(database: Database, caller: Caller, order_id: str) -> Sequence[Refund]:
    """An order's refunds, oldest first."""
    async with database.begin() as tx:
        await _visible(tx, caller, order_id)
        return await store.list_refunds(tx, order_id)


async def list_organizer_refunds(
    database: Database,
    organizer_id: str,
    *,
    event_id: str,
    order_id: str,
    state: str,
    page_size: int,
    page_token: str,
) -> tuple[Sequence[Refund], str]:
    """A page of an organizer's refunds, newest first, and the next page's token.

    An empty organizer is the superadmin's: everybody's.
    """
    size = paging.page_size(page_size)
    question = f"{organizer_id}|{event_id}|{order_id}|{state}"
    async with database.begin() as tx:
        found = await store.list_organizer_refunds(
            tx,
            organizer_id=organizer_id,
            event_id=event_id,
            order_id=order_id,
            state=state,
            before=paging.decode(page_token, question, 1),
            limit=size + 1,
        )
    return paging.cut(found, size, question, lambda refund: (refund.id,))


def choose(
    issued: Collection[ticket_pb2.Ticket], ticket_ids: Collection[str], *, include_admitted: bool
) -> list[int]:
    """The numbers of the tickets that are to be taken back: those with the ids, or all.

    Raises:
        TicketNotFound, TicketNotValid, TicketAdmitted: one of them cannot be.
    """
    by_id = {ticket.id: ticket for ticket in issued}
    if not by_id.keys() >= set(ticket_ids):
        raise domain.TicketNotFound
    if ticket_ids:
        found = [by_id[ticket_id] for ticket_id in ticket_ids]
        if any(ticket.state != ticket_pb2.TICKET_STATE_ISSUED for ticket in found):
            raise domain.TicketNotValid
    else:
        found = [each for each in issued if each.state == ticket_pb2.TICKET_STATE_ISSUED]
    if not include_admitted and any(ticket.HasField("admitted_at") for ticket in found):
        raise domain.TicketAdmitted
    return [ticket.number for ticket in found]


async def _plan(
    tx: Transaction,
    order: Order,
    known: Sequence[Refund],
    wish: Wish,
    chosen: Collection[int] | None,
) -> tuple[Source | None, Plan]:
    """What of which payment of a locked order the wish comes to."""
    valid = opening.valid_numbers(order, known)
    sources = await store.lock_sources(tx, order.id, order.payment_id)
    source = _source(sources, of_tickets=bool(wish.ticket_ids))
    if source is None and order.paid_at is None:
        raise OrderNotPaid
    if source and await _is_with_the_bank(tx, source):
        raise domain.OrderDisputed
    if wish.amount and wish.amount.currency_code != order.currency_code:
        raise domain.CurrencyMismatch.of("amount.currency_code")
    minor = wish.amount.minor if wish.amount else None
    currency_code = order.currency_code
    stand: domain.Position = {}
    if source and source.is_kept:
        stand = opening.kept_position(order, source.payment_id, known, source.lost_minor)
    elif source:
        stand = domain.owed(source.left_minor)
    if wish.ticket_ids:
        if chosen is None:  # the order is cancelled, and so are all of its tickets
            raise domain.TicketNotValid
        domain.check_valid(chosen, valid)
        shares = tickets_of(currency_code, order.lines)
        taken = [share for share in shares if share.number in chosen]
        return source, domain.plan_tickets(currency_code, stand, taken, minor)
    if minor is not None:
        return source, domain.plan_amount(currency_code, stand, minor)
    return source, domain.plan_all(
        currency_code, stand, valid, keep_booking_fee=wish.keep_booking_fee
    )


async def _is_with_the_bank(tx: Transaction, source: Source) -> bool:
    """Whether the customer's bank has the money, while it decides or for good."""
    state = await disputes.disputed_as(tx, source.payment_id)
    return state is DisputeState.OPEN or (state is DisputeState.LOST and not source.left_minor)


def _source(sources: Sequence[Source], *, of_tickets: bool) -> Source | None:
    """The payment that the order keeps, as long as there is something left of it or nothing else.

    What else was charged goes back by itself. Where that failed, an admin may try again; it paid
    for no tickets.
    """
    left = [source for source in sources if source.left_minor and not of_tickets]
    return next(iter(left or sources), None)


async def refund_claimed(
    database: Database, provider: PaymentProvider, tickets: TicketsClient, claim: Claim
) -> None:
    """Take one refund a step further; if that fails, try again later."""
    try:
        delay = await _advance(database, provider, tickets, claim)
    except Exception as error:  # one refund's trouble is not another's
        delay = timedelta(seconds=min(0.2 * 2 ** min(claim.attempts, 20), LONGEST_DELAY_S))
        if isinstance(error, TesseraError):
            telemetry.log.warning("refund delayed", refund_id=claim.refund_id, why=error.reason)
        else:
            telemetry.log.exception("refund failed", refund_id=claim.refund_id)
    if delay is not None:
        with suppress(DatabaseUnavailable):  # then the lease runs out
            await store.postpone(database, claim, delay)


async def _advance(
    database: Database, provider: PaymentProvider, tickets: TicketsClient, claim: Claim
) -> timedelta | None:
    """Take the step that a refund needs; answers when to look again.

    None: what was stored says when, if ever.
    """
    work = await store.get_work(database, claim.refund_id)
    if work.due_at != claim.until:  # who made it due again sees to it
        return None
    match domain.next_step(work.refund):
        case Step.CANCEL_TICKETS:
            await _cancel_tickets(database, tickets, work.refund)
        case Step.FINISH:
            await _finish(database, work.refund)
        case Step.PAY:
            return None if await _pay(database, provider, work) else DISPUTE_CHECK
        case Step.LOOK:
            return await _look(database, provider, work.refund, claim)
        case _:
            await store.postpone(database, claim, None)
    return None


async def _cancel_tickets(database: Database, tickets: TicketsClient, refund: Refund) -> None:
    """Have a refund's tickets cancelled, and leave out of it what was used before.

    Whoever does the same meanwhile finds the same: a used ticket stays used, and a cancelled one
    cancelled.
    """
    async with database.begin() as tx:
        order = await orders.get_order(tx, refund.order_id)
    assert order is not None, "orders are never deleted"
    assert refund.ticket_numbers, "without numbers, all of them would be cancelled"
    found = await tickets.cancel(
        order,
        refund.ticket_numbers,
        keep_off_sale=refund.keep_off_sale,
        spare_admitted=not (refund.include_admitted or order.is_called_off),
    )
    valid = {each.number for each in found if each.state == ticket_pb2.TICKET_STATE_ISSUED}
    async with database.begin() as tx:
        await _tickets_are_cancelled(tx, order, refund, valid.intersection(refund.ticket_numbers))


async def _tickets_are_cancelled(
    tx: Transaction, order: Order, refund: Refund, spared: Collection[int]
) -> None:
    """Record that tickets were cancelled, and free what is reserved for those that were not."""
    await orders.get_order(tx, order.id, lock=True)
    if refund.payment_id:
        await store.lock_payments(tx, [refund.payment_id])
    current = await store.get_refund(tx, refund.id, lock=True)
    if current is None or domain.next_step(current) is not Step.CANCEL_TICKETS:
        return
    shares = tickets_of(order.currency_code, order.lines)
    used = [share for share in shares if share.number in spared]
    rest = replace(domain.sparing(current, used), tickets_cancelled=True)
    if refund.payment_id:
        await store.reserve(tx, refund.payment_id, rest.amount_minor - current.amount_minor)
    await store.tickets_are_cancelled(tx, rest)
    if not rest.amount_minor and not rest.ticket_numbers:
        await observing.refuse(tx, rest, domain.TicketAdmitted().reason)


async def _finish(database: Database, refund: Refund) -> None:
    async with database.begin() as tx:
        order = await orders.get_order(tx, refund.order_id, lock=True)
        current = await store.get_refund(tx, refund.id, lock=True)
        if order and current and domain.next_step(current) is Step.FINISH:
            await observing.finish(tx, order, current)


async def _pay(database: Database, provider: PaymentProvider, work: Work) -> bool:
    """Ask Stripe for the money; False while a dispute keeps it."""
    refund, provider_id = work.refund, work.payment_provider_id
    assert provider_id, "money goes back from a payment that Stripe knows"
    if work.is_disputed:
        return False
    if work.is_overdrawn:
        await _fit(database, provider, work, "dispute_lost")
        return True
    try:
        # Hundreds of one cancelled event wait behind those that somebody asked for.
        with in_lane(Lane.BACKGROUND if refund.operation_id else Lane.SETTLING):
            report = await provider.refund(refund, provider_id)
    except PaymentRefused as refused:
        code = refused.metadata.get("code", "")
        telemetry.log.warning("refund refused", refund_id=refund.id, why=refused.message)
        if code == "balance_insufficient" or (code in DISPUTED and not work.lost_minor):
            await _change_key(database, refund)
            return False
        await _fit(database, provider, work, code or "refused", is_refused=True)
        return True
    except PaymentProviderUnavailable as error:
        if error.key_is_spent:
            await _change_key(database, refund)
        raise
    async with database.begin() as tx:
        await observing.observe_refund(tx, report)
    return True


async def _change_key(database: Database, refund: Refund) -> None:
    """Stripe repeats its answer for the key that it had."""
    async with database.begin() as tx:
        await store.update_refund(tx, refund.id, key_number=refund.key_number + 1)


async def _fit(
    database: Database,
    provider: PaymentProvider,
    work: Work,
    reason: str,
    *,
    is_refused: bool = False,
) -> None:
    """Fit the payment's refunds into what is left of it, by Stripe's own account.

    Raises:
        RefundedElsewhere: something is left for this one, which is tried in a moment.
    """
    assert work.payment_provider_id, "money goes back from a payment that Stripe knows"
    with in_lane(Lane.BACKGROUND):
        made = await provider.refunds_of(work.payment_provider_id)
    async with database.begin() as tx:
        is_to_be_made = await fitting.fit(tx, work.refund, reason, made, is_refused=is_refused)
    if is_to_be_made:
        raise domain.RefundedElsewhere


async def _look(
    database: Database, provider: PaymentProvider, refund: Refund, claim: Claim
) -> timedelta | None:
    """Hear Stripe about a refund that takes its time: a webhook may be late or lost."""
    assert refund.provider_id, "what Stripe has, it has a name for"
    with in_lane(Lane.BACKGROUND):
        report = await provider.retrieve_refund(refund.provider_id)
    async with database.begin() as tx:
        if await observing.observe_refund(tx, report):
            return None
    return min(store.LOOK_AFTER * float(2 ** min(claim.attempts, 10)), LONGEST_LOOK)


async def _visible(tx: Transaction, caller: Caller, order_id: str, *, lock: bool = False) -> Order:
    return seen_by(caller, await orders.get_order(tx, order_id, lock=lock))
