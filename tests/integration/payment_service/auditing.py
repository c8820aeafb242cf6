"""What an auditor does: has Stripe's word and ours compared, and spoils one or the other."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tessera.payment.v1 import (
    order_pb2,
    reconciliation_service_pb2,
    refund_pb2,
    refund_service_pb2,
)

from kit.rpc_errors import RemoteError
from payment_service.ledger import store as ledger
from payment_service.ledger.domain import Account, Entry, Kind, Transaction
from tests.integration.payment_service.support import Shop
from tests.integration.ticket_service.support import eventually

Reconciliation = reconciliation_service_pb2.Reconciliation
RUNNING = reconciliation_service_pb2.RECONCILIATION_STATE_RUNNING


@dataclass
class Auditor:
    """Asks for reconciliations, and tells what is new since the test began."""

    shop: Shop
    known: set[tuple[str, str]] = field(default_factory=set)

    @property
    def root(self) -> Any:
        return self.shop.installation.issuer.metadata("", "SUPERADMIN", user_id="usr_root")

    async def start(self, **fields: Any) -> Reconciliation:
        """A new reconciliation, as soon as no other one is running."""
        request = reconciliation_service_pb2.CreateReconciliationRequest(**fields)
        made: list[Reconciliation] = []

        async def ask() -> bool:
            try:
                rpc = self.shop.payments.reconciliations.CreateReconciliation
                made.append(await rpc(request, metadata=self.root))
            except RemoteError as error:
                if error.reason != "RECONCILIATION_RUNNING":
                    raise
            return bool(made)

        await eventually(ask, 30)
        return made[0]

    async def get(self, run_id: str) -> Reconciliation:
        request = reconciliation_service_pb2.GetReconciliationRequest(reconciliation_id=run_id)
        rpc = self.shop.payments.reconciliations.GetReconciliation
        return await rpc(request, metadata=self.root)

    async def finished(self, run: Reconciliation) -> Reconciliation:
        found = [run]

        async def look() -> bool:
            found.append(await self.get(run.id))
            return found[-1].state != RUNNING

        await eventually(look, 60)
        return found[-1]

    async def compare(self, **fields: Any) -> dict[str, str]:
        """What is found now and was not before the test: by subject, `healed MISSED_WEBHOOK`."""
        run = await self.finished(await self.start(**fields))
        assert run.healed == sum(finding.is_healed for finding in run.findings)
        assert run.reported == len(run.findings) - run.healed
        return {
            finding.subject: f"{'healed ' if finding.is_healed else ''}{finding.kind}"
            for finding in run.findings
            if (finding.kind, finding.subject) not in self.known
        }


@asynccontextmanager
async def auditing(shop: Shop) -> AsyncIterator[Auditor]:
    """An auditor who knows what was found before; when they are done, all is well again."""
    auditor = Auditor(replace(shop, organizer_id=f"org_{uuid.uuid4().hex}"))
    run = await auditor.finished(await auditor.start())
    auditor.known = {(finding.kind, finding.subject) for finding in run.findings}
    yield auditor
    await shop.sandbox.clear_faults()
    await shop.settled()


async def left_to_heal(shop: Shop) -> list[str]:
    """What a reconciliation puts right: of what settles by itself, nothing may be left."""
    auditor = Auditor(shop)
    run = await auditor.finished(await auditor.start())
    healed = [finding for finding in run.findings if finding.is_healed]
    return [f"{each.kind} {each.subject}: {each.detail}" for each in healed]


async def deaf(shop: Shop) -> None:
    """Have all of Stripe's webhooks get lost from now on."""
    await shop.sandbox.ask("/webhooks/faults", action="drop")


async def paid(shop: Shop, **fields: Any) -> order_pb2.Order:
    """An order that is paid, as its customer got it."""
    order = await shop.ordered(**fields)
    await shop.pay(order)
    await shop.becomes(order, "PAID")
    await shop.settled()
    return order


async def refund(shop: Shop, order: order_pb2.Order, amount: str = "") -> refund_pb2.Refund:
    """A refund by an admin, of all that is left or of an amount, once Stripe has it."""
    request = refund_service_pb2.CreateRefundRequest(order_id=order.id)
    if amount:
        request.amount.currency_code, request.amount.amount = "EUR", amount
    made = await shop.payments.refunds.CreateRefund(request, metadata=shop.admin)
    await shop.settled()
    return made


async def sent_back(shop: Shop, made: refund_pb2.Refund) -> str:
    """The bank sends back what was refunded; answers what Stripe calls the refund."""
    find = "SELECT provider_id FROM refunds WHERE id = :id"
    [row] = await shop.installation.execute("payment", find, id=made.id)
    await shop.sandbox.ask(f"/refunds/{row.provider_id}/fail")
    return str(row.provider_id)


async def payment_of(shop: Shop, order: order_pb2.Order) -> str:
    find = "SELECT id FROM payments WHERE order_id = :id"
    [row] = await shop.installation.execute("payment", find, id=order.id)
    return str(row.id)


async def forget(shop: Shop, *sources: str) -> None:
    """Take transactions out of the books, as if they had been made before there were any."""
    for source in sources:
        for table in ("ledger_entries", "ledger_transactions"):
            await shop.installation.execute(
                "payment", f"ALTER TABLE {table} DISABLE TRIGGER append_only"
            )
        found = "(SELECT id FROM ledger_transactions WHERE source = :source)"
        delete = f"DELETE FROM ledger_entries WHERE transaction_id IN {found}"
        await shop.installation.execute("payment", delete, source=source)
        delete = "DELETE FROM ledger_transactions WHERE source = :source"
        await shop.installation.execute("payment", delete, source=source)
        for table in ("ledger_entries", "ledger_transactions"):
            await shop.installation.execute(
                "payment", f"ALTER TABLE {table} ENABLE TRIGGER append_only"
            )


async def book(shop: Shop, order: order_pb2.Order, source: str, fee: int) -> None:
    """Put a fee of this amount into the books."""
    entries = (Entry(Account.PROVIDER, -fee), Entry(Account.PROVIDER_FEES, fee))
    about = (shop.organizer_id, order.event_id, order.id, "EUR")
    async with shop.installation.database("payment").begin() as tx:
        await ledger.book(tx, Transaction(Kind.PROVIDER_FEE, source, *about, entries))


async def booked(shop: Shop, order: order_pb2.Order) -> list[str]:
    """The kinds of what the ledger has about an order, in the order of booking."""
    find = "SELECT kind FROM ledger_transactions WHERE order_id = :id ORDER BY id"
    return [row.kind for row in await shop.installation.execute("payment", find, id=order.id)]


async def stray_charge(shop: Shop, currency: str) -> str:
    """A charge that has nothing to do with us, in a currency of its own."""
    intent = await shop.sandbox.intent(currency=currency, manual=False)
    return (await shop.sandbox.confirm(intent)).id
