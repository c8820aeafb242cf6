"""The money of an event, whatever happened to it, is the ledger's, and its parts add up."""

import csv
import io
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
from tessera.payment.v1 import insights_service_pb2, ledger_service_pb2, order_pb2
from tessera.ticket.v1 import event_pb2

from tests.integration.payment_service.support import Shop
from tests.integration.payment_service.test_terms import DINNER, FEE, STALLS, hold_each, sells
from tests.integration.payment_service.test_voucher_sales import order as order_with
from tests.integration.payment_service.test_vouchers import make
from tests.integration.payment_service.till import (
    decide,
    dispute,
    dispute_is,
    in_dashboard,
    refund,
    through,
)

Insights = insights_service_pb2.EventInsights


def euros(money: Any) -> Decimal:
    assert money.currency_code == "EUR"
    return Decimal(money.amount)


@dataclass(frozen=True, slots=True)
class Box:
    """The box office of one event."""

    shop: Shop
    event: event_pb2.Event

    async def sell(self, *quantities: int, code: str = "") -> order_pb2.Order:
        """An order that is paid."""
        held = await hold_each(self.shop, self.event, *quantities)
        order = await order_with(self.shop, held, code)
        await self.shop.pay(order)
        await self.shop.becomes(order, "PAID")
        return order

    async def insights(self) -> Insights:
        request = insights_service_pb2.GetEventInsightsRequest(event_id=self.event.id)
        return await self.shop.payments.insights.GetEventInsights(request, metadata=self.shop.admin)

    async def balances(self) -> dict[str, Decimal]:
        """The event's accounts in the ledger."""
        request = ledger_service_pb2.GetLedgerBalancesRequest(event_id=self.event.id)
        rpc = self.shop.payments.ledger.GetLedgerBalances
        found = (await rpc(request, metadata=self.shop.admin)).balances
        name = ledger_service_pb2.LedgerAccount.Name
        return {
            name(row.account).removeprefix("LEDGER_ACCOUNT_"): euros(row.balance) for row in found
        }


def check(seen: Insights, balances: dict[str, Decimal]) -> None:
    """All figures are the ledger's, and the parts add up to the whole."""
    income = {
        name.name: euros(getattr(seen.income, name.name))
        for name in insights_service_pb2.Income.DESCRIPTOR.fields
    }

    def has(*accounts: str) -> Decimal:
        return sum((balances.get(account, Decimal(0)) for account in accounts), Decimal(0))

    assert income["tickets"] == -has("TICKET_REVENUE", "GOODWILL")
    assert income["booking_fees"] == -has("BOOKING_FEES")
    assert income["tax"] == -has("TAX")
    assert income["cancellation_fees"] == -has("CANCELLATION_FEES")
    assert income["provider_fees"] == has("PROVIDER_FEES")
    assert income["disputed"] == has("DISPUTED", "DISPUTE_LOSSES")
    assert income["net"] == has("PROVIDER", "UNALLOCATED") - income["tax"]
    revenue = euros(seen.revenue)
    assert revenue == income["charged"] - income["refunded"]
    assert revenue == sum(
        income[part] for part in ("tickets", "booking_fees", "tax", "cancellation_fees")
    )
    assert sum(euros(day.revenue) for day in seen.days) == revenue
    net = income["net"] + income["disputed"]
    assert sum(euros(day.net_revenue) for day in seen.days) == net
    assert sum(euros(row.net_revenue) for row in seen.ticket_types) == -has("TICKET_REVENUE")
    assert sum(day.sold for day in seen.days) == seen.sold
    assert sum(row.sold for row in seen.ticket_types) == seen.sold
    assert sum(balances.values()) == 0


async def test_money_is_the_ledgers_through_refunds_disputes_and_vouchers(shop: Shop) -> None:
    event = await sells(shop, dict(STALLS), dict(DINNER), booking_fee=FEE)
    box = Box(shop, event)
    check(await box.insights(), await box.balances())

    kept = await box.sell(2, 1)
    seen = await box.insights()
    check(seen, await box.balances())
    assert (seen.sold, seen.revenue.amount) == (3, kept.total.amount)
    assert (seen.holds, seen.paid_orders) == (1, 1)
    assert seen.income.tax.amount == kept.tax.amount
    assert [row.net_revenue.amount for row in seen.ticket_types] == ["84.03", "33.33"]

    await make(shop, code="SPRING", percentage="20")
    saved = await box.sell(1, 1, code="SPRING")
    seen = await box.insights()
    check(seen, await box.balances())
    [voucher] = seen.vouchers
    assert (voucher.code, voucher.paid_orders) == ("SPRING", 1)
    assert (voucher.discount.amount, voucher.revenue.amount) == (
        saved.discount.amount,
        saved.total.amount,
    )

    # A ticket goes back, an amount does, and Stripe's dashboard gives something.
    ticket = next(each for each in await shop.issued(kept) if each.number == 1)
    await refund(shop, kept, ticket_ids=[ticket.id])
    await through(shop, kept, "SUCCEEDED")
    seen = await box.insights()
    check(seen, await box.balances())
    assert (seen.sold, [row.sold for row in seen.ticket_types]) == (4, [2, 2])
    assert (seen.income.refunded.amount, seen.paid_orders) == ("50.00", 2)
    await refund(shop, kept, amount={"currency_code": "EUR", "amount": "5.00"})
    await through(shop, kept, "SUCCEEDED", "SUCCEEDED")
    await in_dashboard(shop, saved, 300)
    await through(shop, saved, "SUCCEEDED")
    seen = await box.insights()
    check(seen, await box.balances())
    assert seen.income.refunded.amount == "58.00"
    assert euros(seen.vouchers[0].revenue) == euros(saved.total) - 3

    # A bank takes an order's money, and then all of it for good; another order is cancelled.
    lost = await box.sell(1, 1)
    provider_id = await dispute(shop, lost)
    await dispute_is(shop, lost, "OPEN")
    check(await box.insights(), await box.balances())
    await decide(shop, provider_id, "lost")
    await dispute_is(shop, lost, "LOST")
    seen = await box.insights()
    check(seen, await box.balances())
    assert (seen.income.disputed.amount, seen.sold) == (lost.total.amount, 4)
    await refund(shop, saved)
    await through(shop, saved, "SUCCEEDED", "SUCCEEDED")
    seen = await box.insights()
    check(seen, await box.balances())
    assert (seen.sold, seen.vouchers[0].revenue.amount, seen.paid_orders) == (2, "0.00", 3)


async def test_charge_that_no_order_keeps_is_no_income(shop: Shop) -> None:
    event = await sells(shop, dict(STALLS))
    box = Box(shop, event)
    order = await shop.order(await hold_each(shop, event, 1))
    another = await shop.another(order)
    for attempt in (order, another):
        await shop.charges_at_once(attempt)
        await shop.pay(attempt)
    await shop.becomes(order, "PAID")
    await shop.settled()
    seen = await box.insights()
    check(seen, await box.balances())
    assert (seen.income.charged.amount, seen.income.refunded.amount) == ("50.00", "0.00")


async def test_a_file_has_the_same_figures_and_a_name(shop: Shop) -> None:
    event = await sells(shop, {**STALLS, "name": "=cmd()"}, booking_fee=FEE)
    box = Box(shop, event)
    await box.sell(2)
    seen = await box.insights()
    [found] = await download(shop, f"events/{event.id}/insights.csv", "total")
    assert (found["revenue"], found["sold"]) == (seen.revenue.amount, "2")
    assert found["net_revenue"] == seen.income.net.amount
    kinds = await download(shop, f"events/{event.id}/insights.csv", "ticket_type")
    assert [row["name"] for row in kinds] == ["'=cmd()"]
    entries = await download(shop, f"ledger/entries.csv?event_id={event.id}")
    assert sum(Decimal(row["amount"]) for row in entries) == 0
    charged = [row for row in entries if (row["kind"], row["account"]) == ("CHARGE", "PROVIDER")]
    assert [row["amount"] for row in charged] == [seen.income.charged.amount]


async def download(shop: Shop, path: str, row: str = "") -> list[dict[str, str]]:
    """The rows of a file, as an admin's browser gets it through the gateway."""
    base = shop.webhooks_url.removesuffix("/v1/webhooks/stripe")
    headers = {str(name): str(value) for name, value in shop.admin}
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{base}/v1/{path}", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].endswith('.csv"')
    rows = csv.DictReader(io.StringIO(answer.text, newline=""))
    return [each for each in rows if not row or each["row"] == row]
