"""Payments, refunds and disputes as Stripe lists them, and as we know them."""

from collections.abc import Mapping, Sequence

from kit.ids import first_id
from kit.money import Money
from payment_service.disputes import store as disputes
from payment_service.disputes.domain import Dispute, DisputeReport
from payment_service.disputes.observing import observe_dispute
from payment_service.payments import store as payments
from payment_service.payments.domain import CHARGED, Intent, Payment, PaymentRefused
from payment_service.payments.observing import observe_intent
from payment_service.reconciliation import domain, store
from payment_service.reconciliation.domain import (
    PASSING,
    Comparison,
    Finding,
    FindingKind,
    ListedPayment,
)
from payment_service.reconciliation.work import Work
from payment_service.refunds import store as refunds
from payment_service.refunds.domain import Refund, RefundedElsewhere, RefundReport, is_about
from payment_service.refunds.observing import observe_refund

DISPUTES_AT_ONCE = 100


async def compare_payments(work: Work) -> None:
    """All PaymentIntents of the period, and whether each of our charged payments is among them."""
    start, after = work.run.period_start, first_id("pay", work.run.period_start)
    while True:
        async with work.database.begin() as tx:
            part = await store.next_slice(tx, after, work.run.period_end, work.scanned_at_once)
        uncharged = dict(part.charged)
        end = part.end or work.run.period_end
        async for page in work.provider.list_payments(start, end):
            await _compare_payments(work, page)
            for listed in page:
                if listed.intent.status == CHARGED:
                    uncharged.pop(listed.intent.provider_id, None)
            await work.proceed(len(page))
        for provider_id, payment_id in uncharged.items():
            await _check_charge(work, provider_id, payment_id)
            await work.proceed()
        if part.end is None:
            return
        start, after = part.end, part.last_id


async def compare_refunds(work: Work) -> None:
    """All refunds of the period. Older ones that are pending are looked at by their worker."""
    async for page in work.provider.list_refunds(work.run.period_start, work.run.period_end):
        await heal_refunds(work, page)
        await work.proceed(len(page))


async def compare_disputes(work: Work) -> None:
    """All disputes of the period, and those that were open before."""
    async for page in work.provider.list_disputes(work.run.period_start, work.run.period_end):
        await heal_disputes(work, page)
        await work.proceed(len(page))
    after = ""
    while True:
        async with work.database.begin() as tx:
            found = await disputes.list_open(tx, work.run.period_start, after, DISPUTES_AT_ONCE)
        for dispute in found:
            await heal_disputes(work, [await work.provider.retrieve_dispute(dispute.provider_id)])
            await work.proceed(1)
        if len(found) < DISPUTES_AT_ONCE:
            return
        after = found[-1].id


async def heal_refunds(work: Work, page: Sequence[RefundReport]) -> None:
    """Record refunds that we do not know of, or are further than we knew."""

    async def look() -> list[tuple[RefundReport, FindingKind]]:
        async with work.database.begin() as tx:
            owners = await store.payments_of(tx, [each.payment_provider_id for each in page])
            found = await refunds.find_refunds(
                tx, [each.refund_id for each in page], [each.provider_id for each in page]
            )
        differing = []
        for report in page:
            if report.payment_provider_id not in owners:
                differing.append((report, FindingKind.UNKNOWN_REFUND))
            elif kind := domain.compare_refund(report, _known_refund(report, found)):
                differing.append((report, kind))
        return differing

    for report, kind in await work.persisting(look):
        amount = Money(report.currency_code, report.amount_minor)
        if kind in PASSING:
            await _heal_refund(work, report, kind)
        elif kind is FindingKind.UNKNOWN_REFUND:
            detail = f"{amount} went back of a charge that is not ours."
            await work.report(Finding(kind, report.provider_id, detail))
        else:
            detail = f"{amount} went back at Stripe, another amount in our refund."
            await work.report(Finding(kind, report.provider_id, detail))


async def _heal_refund(work: Work, report: RefundReport, kind: FindingKind) -> None:
    amount = Money(report.currency_code, report.amount_minor)
    if kind is FindingKind.DASHBOARD_REFUND:
        detail = f"{amount} were given back in Stripe's dashboard."
    else:
        detail = f"Stripe says {report.status} of a refund of {amount}."
    try:
        async with work.database.begin() as tx:
            if await observe_refund(tx, report):
                await work.add(tx, Finding(kind, report.provider_id, detail, is_healed=True))
    except RefundedElsewhere as refused:
        await work.report(Finding(FindingKind.REFUSED, report.provider_id, refused.message))


def _known_refund(report: RefundReport, found: Sequence[Refund]) -> Refund | None:
    """The refund that a report is about: the one that it names, unless Stripe has that already."""
    for refund in found:
        if is_about(report, refund):
            return refund
    return None


async def heal_disputes(work: Work, page: Sequence[DisputeReport]) -> None:
    """Record disputes that we do not know of, or are further than we knew."""

    async def look() -> list[tuple[DisputeReport, FindingKind]]:
        async with work.database.begin() as tx:
            owners = await store.payments_of(tx, [each.payment_provider_id for each in page])
            found = await disputes.find_disputes(tx, [each.provider_id for each in page])
        known: dict[str, Dispute] = {each.provider_id: each for each in found}
        differing = []
        for report in page:
            kind = domain.compare_dispute(report, known.get(report.provider_id))
            if kind and report.payment_provider_id not in owners:
                kind = FindingKind.UNKNOWN_DISPUTE
            if kind:
                differing.append((report, kind))
        return differing

    for report, kind in await work.persisting(look):
        amount = Money(report.currency_code, report.amount_minor)
        detail = f"Stripe says {report.status} of a dispute about {amount}."
        if kind is FindingKind.UNKNOWN_DISPUTE:
            await work.report(Finding(kind, report.provider_id, detail))
            continue
        async with work.database.begin() as tx:
            if await observe_dispute(tx, report):
                await work.add(tx, Finding(kind, report.provider_id, detail, is_healed=True))


async def _compare_payments(work: Work, page: Sequence[ListedPayment]) -> None:
    known: dict[str, Payment] = {}

    async def look() -> list[tuple[ListedPayment, FindingKind]]:
        async with work.database.begin() as tx:
            ids = [listed.intent.payment_id for listed in page]
            known.update(await payments.find_payments(tx, ids))
        compared = ((each, domain.compare_payment(each, _of(each, known))) for each in page)
        return [(listed, kind) for listed, kind in compared if kind]

    for listed, kind in await work.persisting(look):
        payment = _of(listed, known)
        if payment is not None and kind is FindingKind.MISSED_WEBHOOK:
            await _hear(work, listed.intent, payment)
        else:
            await work.report(Finding(kind, listed.intent.provider_id, _sentence(listed, payment)))


async def _hear(work: Work, intent: Intent, known: Payment) -> None:
    """Hear what Stripe says of a payment, as if its webhook came now."""
    had = known.provider_status or "nothing"
    detail = f"Stripe says {intent.status} of payment {known.id}; we had heard {had}."
    async with work.database.begin() as tx:
        await observe_intent(tx, intent)
        missed = Finding(FindingKind.MISSED_WEBHOOK, intent.provider_id, detail, is_healed=True)
        await work.add(tx, missed)


def _of(listed: ListedPayment, known: Mapping[str, Payment]) -> Payment | None:
    return known.get(listed.intent.payment_id)


def _sentence(listed: ListedPayment, payment: Payment | None) -> str:
    charged = f"Stripe charged {Money(listed.currency_code, listed.received_minor)}"
    if payment is None:
        return f"{charged} for no payment of ours."
    due = Money(payment.currency_code, payment.amount_minor)
    return f"{charged} for payment {payment.id} of {due}, which is {payment.state} here."


async def _check_charge(work: Work, provider_id: str, payment_id: str) -> None:
    """Ask Stripe about a charged payment of ours that it did not list among the charged ones.

    It may have been made a moment earlier or later than its PaymentIntent.
    """
    try:
        status = (await work.provider.retrieve(provider_id)).status
    except PaymentRefused as refused:
        status = refused.metadata.get("code") or "refused"
    if status == CHARGED:
        return
    async with work.database.begin() as tx:
        payment = (await payments.find_payments(tx, [payment_id]))[payment_id]
    detail = f"Payment {payment_id} is charged here; Stripe says {status}."
    await work.report(Finding(FindingKind.PAID_WITHOUT_CHARGE, provider_id, detail))
    work.totals.add(payment.currency_code, Comparison(provider_id, 0, payment.amount_minor))
