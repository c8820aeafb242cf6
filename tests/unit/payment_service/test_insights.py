"""The figures of an event: whatever was booked, they are its sums, and their parts add up."""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal

from hypothesis import given

from payment_service.insights import domain
from payment_service.insights.domain import (
    DayRow,
    Income,
    Insights,
    Sales,
    Stock,
    TicketTypeRow,
    VoucherRow,
)
from payment_service.insights.operations import export
from payment_service.ledger.domain import Account, Kind
from tests.unit.payment_service.books import BOOKED, Booked, summed


def total(books: Sequence[Booked], *accounts: Account) -> int:
    entries = (entry for booked in books for entry in booked.transaction.entries)
    return sum(entry.amount_minor for entry in entries if entry.account in accounts)


@given(BOOKED)
def test_the_figures_are_the_ledgers_sums_and_add_up(books: Sequence[Booked]) -> None:
    sums = summed(books)
    income = domain.income(sums.by_kind)
    assert income.revenue_minor == income.charged_minor - income.refunded_minor
    assert income.revenue_minor == (
        income.tickets_minor
        + income.booking_fees_minor
        + income.tax_minor
        + income.cancellation_fees_minor
    )
    # What is left is what is at the provider, less what is owed: to the state, and to customers.
    owed = income.tax_minor - total(books, Account.UNALLOCATED)
    assert income.net_minor == total(books, Account.PROVIDER) - owed
    assert income.provider_fees_minor == total(books, Account.PROVIDER_FEES)
    assert income.disputed_minor == total(books, Account.DISPUTED, Account.DISPUTE_LOSSES)


@given(BOOKED)
def test_ticket_types_days_and_vouchers_add_up_to_the_whole(books: Sequence[Booked]) -> None:
    sums = summed(books)
    income = domain.income(sums.by_kind)
    types = domain.ticket_types([Stock("tt_0", "Stalls", 0, 0)], {}, {}, sums.by_ticket_type)
    of_no_type = -sum(
        minor
        for account, minor in sums.by_ticket_type.get("", {}).items()
        if account
        in (Account.BOOKING_FEES, Account.TAX, Account.CANCELLATION_FEES, Account.GOODWILL)
    )
    assert sum(row.sales.revenue_minor for row in types) + of_no_type == income.revenue_minor
    net = income.tickets_minor + total(books, Account.GOODWILL)
    assert sum(row.sales.net_minor for row in types) == net
    days = domain.days({}, sums.by_day, {})
    assert sum(day.sales.revenue_minor for day in days) == income.revenue_minor
    assert sum(day.sales.net_minor for day in days) == income.net_minor + income.disputed_minor
    used = {booked.transaction.voucher_id or "none" for booked in books}
    rows = domain.vouchers([VoucherRow(key) for key in used], sums.by_voucher, 100)
    without = [booked for booked in books if booked.transaction.voucher_id is None]
    rest = domain.income(summed(without).by_kind).revenue_minor
    assert sum(row.revenue_minor for row in rows) + rest == income.revenue_minor


def test_a_charge_that_no_order_keeps_is_no_income_and_its_return_no_refund() -> None:
    owed = {Account.UNALLOCATED: -500, Account.PROVIDER: 500}
    back = {Account.UNALLOCATED: 500, Account.PROVIDER: -500}
    assert domain.income({Kind.CHARGE: owed, Kind.REFUND: back}) == Income()


def test_goodwill_is_taken_off_the_tickets() -> None:
    sold = {Account.TICKET_REVENUE: -10_000, Account.TAX: -1_900, Account.PROVIDER: 11_900}
    shown = {Account.GOODWILL: 1_000, Account.PROVIDER: -1_000}
    income = domain.income({Kind.CHARGE: sold, Kind.REFUND: shown})
    assert (income.charged_minor, income.refunded_minor) == (11_900, 1_000)
    assert (income.tickets_minor, income.tax_minor) == (9_000, 1_900)


def test_a_refund_that_failed_was_not_given_back() -> None:
    out = {Account.GOODWILL: 1_000, Account.PROVIDER: -1_000}
    back = {Account.GOODWILL: -1_000, Account.PROVIDER: 1_000}
    assert domain.income({Kind.REFUND: out, Kind.REFUND_FAILED: back}) == Income()


def test_ticket_types_that_are_no_more_are_still_shown() -> None:
    stock = [Stock("tt_b", "Stalls", 8, 1)]
    money = {Account.TICKET_REVENUE: -100, Account.TAX: -19}
    rows = domain.ticket_types(
        stock, {"tt_a": 1}, {"tt_a": "Balcony"}, {"tt_b": money, "tt_a": money, "": money}
    )
    assert rows == (
        TicketTypeRow("tt_b", "Stalls", Sales(0, 119, 100), 8, 1),
        TicketTypeRow("tt_a", "Balcony", Sales(1, 119, 100), 0, 0),
    )


def test_days_are_those_on_which_something_happened_oldest_first() -> None:
    sold = {Account.TICKET_REVENUE: -50, Account.TAX: -5, Account.PROVIDER_FEES: 2}
    disputed = {Account.DISPUTED: 50, Account.PROVIDER: -50}
    moved = {"2026-05-02": sold, "2026-05-03": disputed}
    assert domain.days({"2026-04-30": 2}, moved, {"2026-05-02": 1, "2026-05-10": 3}) == (
        DayRow("2026-04-30", Sales(2, 0, 0), 0),
        DayRow("2026-05-02", Sales(0, 55, 48), 1),
        DayRow("2026-05-10", Sales(), 3),
    )


def test_vouchers_that_were_used_most_come_first_and_there_is_a_limit() -> None:
    used = [VoucherRow("vou_1", "FEW", 1, 100), VoucherRow("vou_2", "MANY", 7, 50)]
    by_voucher = {"vou_1": {Account.TICKET_REVENUE: -900, Account.GOODWILL: 100}}
    assert domain.vouchers(used, by_voucher, 2) == (
        VoucherRow("vou_2", "MANY", 7, 50, 0),
        VoucherRow("vou_1", "FEW", 1, 100, 800),
    )
    assert len(domain.vouchers(used, by_voucher, 1)) == 1


def test_export_has_a_row_for_each_part_and_the_total_and_no_formula() -> None:
    sales = Sales(2, 11_900, 10_000)
    found = Insights(
        event_id="evt_1",
        currency_code="EUR",
        income=Income(12_000, 100, 9_900, 0, 1_900, 100, 200, 300),
        ticket_types=(TicketTypeRow("tt_1", "=1+1", sales, 8, 1),),
        days=(DayRow("2026-05-01", sales, 1),),
        vouchers=(VoucherRow("vou_1", "EARLY", 1, 500, 11_900),),
        holds=4,
        paid_orders=2,
    )
    rows = list(csv.DictReader(io.StringIO(export(found).decode(), newline="")))
    assert [row["row"] for row in rows] == ["ticket_type", "day", "voucher", "total"]
    assert rows[0]["name"] == "'=1+1"
    assert {row["revenue"] for row in rows} == {"119.00"}
    assert {row["currency_code"] for row in rows} == {"EUR"}
    assert (rows[1]["id"], rows[1]["sold"], rows[1]["net_revenue"]) == ("2026-05-01", "2", "100.00")
    assert (rows[2]["name"], rows[2]["discount"]) == ("EARLY", "5.00")
    whole = rows[3]
    assert (whole["sold"], whole["remaining"], whole["admitted"], whole["holds"]) == (
        "2",
        "8",
        "1",
        "4",
    )
    parts = ("tickets", "booking_fees", "tax", "cancellation_fees")
    assert sum(Decimal(whole[part]) for part in parts) == Decimal(whole["revenue"])
    assert Decimal(whole["charged"]) - Decimal(whole["refunded"]) == Decimal(whole["revenue"])
    assert Decimal(whole["net_revenue"]) == Decimal("95.00")
