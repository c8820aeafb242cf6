"""What moved on Stripe's balance, and what the ledger has of it."""

from collections.abc import Sequence

from kit.money import Money
from payment_service.disputes import store as disputes
from payment_service.disputes.domain import DisputeReport
from payment_service.ledger import postings
from payment_service.ledger import store as ledger
from payment_service.payments import store as payments
from payment_service.payments.domain import Intent, Payment
from payment_service.payments.observing import observe_intent
from payment_service.reconciliation import domain, store
from payment_service.reconciliation.domain import (
    PASSING,
    ChargeReport,
    Comparison,
    Expected,
    Finding,
    FindingKind,
    Movement,
)
from payment_service.reconciliation.listings import heal_disputes, heal_refunds
from payment_service.reconciliation.work import Work
from payment_service.refunds import store as refunds
from payment_service.refunds.domain import RefundReport

ROUNDS = 2  # what was heard in the first is booked by the second, but perhaps without its fee


async def compare_movements(work: Work) -> None:
    """All that customers moved on the balance in the period, one by one and in sum."""
    async for movements in work.provider.list_movements(work.run.period_start, work.run.period_end):
        page = _Page(work, [each for each in movements if _is_customers(each)])
        differing = await work.persisting(page.look)
        for _round in range(ROUNDS):
            await page.heal([expected for expected, _ in differing])
            differing = [each for each in await work.persisting(page.look) if each[1] in PASSING]
            if not differing:
                break
        for expected, compared in page.compared:
            work.totals.add(expected.movement.currency_code, compared)
        await work.proceed(len(movements))


def _is_customers(movement: Movement) -> bool:
    """Whether it should be in our books: what a bank has not confirmed is not, nor are payouts."""
    about = movement.about
    return about is not None and not (isinstance(about, ChargeReport) and not about.succeeded)


class _Page:
    """Some movements, and how they compare with the ledger at the last look."""

    def __init__(self, work: Work, movements: Sequence[Movement]) -> None:
        self._work = work
        self._movements = movements
        self._booked: dict[str, tuple[str, int]] = {}
        self.compared: list[tuple[Expected, Comparison]] = []

    async def look(self) -> list[tuple[Expected, FindingKind]]:
        """The movements that differ: what is known may be booked any moment."""
        async with self._work.database.begin() as tx:
            about = [each.about for each in self._movements if each.about]
            known = await store.payments_of(tx, [each.payment_provider_id for each in about])
            named = [each.provider_id for each in about if not isinstance(each, ChargeReport)]
            given_back = await refunds.find_refunds(tx, [], named)
            known |= {each.provider_id: each.id for each in given_back if each.provider_id}
            disputed = await disputes.find_disputes(tx, named)
            known |= {each.provider_id: each.id for each in disputed}
            expected = [domain.expected(each, known.get(_name(each))) for each in self._movements]
            sources = {name for each in expected for name in (each.amount_source, each.fee_source)}
            self._booked = await ledger.at_provider(tx, sources)
        self.compared = [(each, each.compared(self._booked)) for each in expected]
        return [
            (each, FindingKind.MISSED_WEBHOOK if each.key else FindingKind.UNKNOWN_CHARGE)
            for each, compared in self.compared
            if compared.differs
        ]

    async def heal(self, differing: Sequence[Expected]) -> None:
        """Hear of what the ledger lacks, as if its webhook came now; book a fee that is missing."""
        reports = [each.movement.about for each in differing]
        await heal_refunds(self._work, [each for each in reports if isinstance(each, RefundReport)])
        await heal_disputes(
            self._work, [each for each in reports if isinstance(each, DisputeReport)]
        )
        for each in differing:
            if isinstance(each.movement.about, ChargeReport):
                await self._heal_charge(each, each.movement.about)

    async def _heal_charge(self, expected: Expected, report: ChargeReport) -> None:
        movement, provider_id = expected.movement, report.payment_provider_id
        amount = Money(movement.currency_code, movement.amount_minor)
        if expected.key is None:
            detail = f"Stripe charged {amount} for no payment of ours."
            await self._work.report(Finding(FindingKind.UNKNOWN_CHARGE, provider_id, detail))
            return
        async with self._work.database.begin() as tx:
            payment = (await payments.find_payments(tx, [expected.key]))[expected.key]
        due = Money(payment.currency_code, payment.amount_minor)
        if amount != due and not expected.is_converted:
            detail = f"Stripe charged {amount} for payment {payment.id} of {due}."
            await self._work.report(Finding(FindingKind.AMOUNT_MISMATCH, provider_id, detail))
        elif expected.amount_source not in self._booked:
            await self._hear(payment, await self._work.provider.retrieve(provider_id))
        elif movement.fee_minor and expected.fee_source not in self._booked:
            await self._book_fee(payment, movement)

    async def _hear(self, payment: Payment, intent: Intent) -> None:
        async with self._work.database.begin() as tx:
            if await observe_intent(tx, intent):
                detail = f"Stripe says {intent.status} of payment {payment.id}."
                missed = FindingKind.MISSED_WEBHOOK
                await self._work.add(tx, Finding(missed, intent.provider_id, detail, True))

    async def _book_fee(self, payment: Payment, movement: Movement) -> None:
        async with self._work.database.begin() as tx:
            sale = await payments.lock_sale(tx, payment.id)
            assert sale, "payments are never deleted"
            code, minor = movement.currency_code, movement.fee_minor
            await payments.update_payment(tx, payment.id, fee_booked=True)
            if await ledger.book(tx, postings.provider_fee(sale[0], payment.id, minor, code)):
                detail = f"The ledger had no fee for payment {payment.id}."
                await self._work.add(tx, Finding(FindingKind.MISSING_FEE, payment.id, detail, True))


def _name(movement: Movement) -> str:
    about = movement.about
    assert about, "what is no customer's doing was left out"
    return about.payment_provider_id if isinstance(about, ChargeReport) else about.provider_id
