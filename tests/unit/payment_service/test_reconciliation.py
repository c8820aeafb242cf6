"""What counts as a difference, what is only on its way, and when a night's work is due."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.disputes.domain import Dispute, DisputeReport, DisputeState
from payment_service.payments.domain import Intent
from payment_service.reconciliation.domain import (
    ChargeReport,
    Comparison,
    FindingKind,
    InvalidPeriod,
    ListedPayment,
    Movement,
    Totals,
    check_period,
    compare_dispute,
    compare_payment,
    compare_refund,
    expected,
    nightly_period,
    owed,
)
from payment_service.refunds.domain import Refund, RefundOrigin, RefundReport, RefundState
from tests.unit.payment_service.build import NOON, order, payment

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def listed(status: str, received: int = 10_000, currency_code: str = "EUR") -> ListedPayment:
    intent = Intent("pi_1", "pay_1", status, client_secret="pi_1_secret")
    return ListedPayment(intent, currency_code, received)


def refund(state: str, **fields: Any) -> Refund:
    values: dict[str, Any] = {
        "id": "ref_1",
        "order_id": "ord_1",
        "payment_id": "pay_1",
        "event_id": "evt_1",
        "origin": RefundOrigin.ADMIN,
        "currency_code": "EUR",
        "amount_minor": 500,
        **fields,
    }
    return Refund(state=RefundState(state), **values)


def dispute_report(status: str) -> DisputeReport:
    return DisputeReport("du_1", "pi_1", status, "EUR", 10_000, "fraudulent", NOON, None)


@pytest.mark.parametrize(
    ("status", "known", "kind"),
    [
        ("succeeded", payment("succeeded", "SUCCEEDED"), None),
        ("succeeded", payment("requires_capture", "AUTHORIZED"), FindingKind.MISSED_WEBHOOK),
        ("requires_capture", payment("requires_capture", "AUTHORIZED"), None),
        ("canceled", payment("requires_capture", "AUTHORIZED"), FindingKind.MISSED_WEBHOOK),
        ("canceled", payment("canceled", "CANCELLED"), None),
        # Stripe is only believed forwards: this page is older than what we have heard since.
        ("requires_capture", payment("succeeded", "AUTHORIZED"), None),
        ("requires_payment_method", payment("requires_capture", "AUTHORIZED"), None),
        # The answer to its creation was lost.
        (
            "requires_payment_method",
            payment(provider_id=None, client_secret=""),
            FindingKind.MISSED_WEBHOOK,
        ),
        ("succeeded", payment("canceled", "CANCELLED"), FindingKind.CLOSED_PAYMENT),
        ("succeeded", None, FindingKind.UNKNOWN_CHARGE),
        ("requires_capture", None, None),
        ("succeeded", payment(provider_id="pi_2"), FindingKind.UNKNOWN_CHARGE),
        ("requires_payment_method", payment(provider_id="pi_2"), None),
    ],
)
def test_payments_differ_in_what_we_have_not_heard(
    status: str, known: Any, kind: FindingKind | None
) -> None:
    assert compare_payment(listed(status), known) is kind


@pytest.mark.parametrize("other", [listed("succeeded", 9_999), listed("succeeded", 10_000, "USD")])
def test_another_amount_than_was_due_is_for_a_person(other: ListedPayment) -> None:
    for known in (payment("succeeded", "SUCCEEDED"), payment("requires_capture", "AUTHORIZED")):
        assert compare_payment(other, known) is FindingKind.AMOUNT_MISMATCH


@pytest.mark.parametrize(
    ("status", "known", "kind"),
    [
        ("succeeded", refund("SUCCEEDED"), None),
        ("pending", refund("SUCCEEDED"), None),
        ("succeeded", refund("CREATED"), FindingKind.MISSED_WEBHOOK),
        ("failed", refund("SUCCEEDED"), FindingKind.MISSED_WEBHOOK),
        ("succeeded", None, FindingKind.DASHBOARD_REFUND),
        ("succeeded", refund("SUCCEEDED", amount_minor=400), FindingKind.AMOUNT_MISMATCH),
        ("succeeded", refund("CREATED", amount_minor=400), FindingKind.MISSED_WEBHOOK),
    ],
)
def test_refunds_differ_in_what_we_have_not_heard(
    status: str, known: Refund | None, kind: FindingKind | None
) -> None:
    report = RefundReport("re_1", "ref_1", "pi_1", status, "EUR", 500)
    assert compare_refund(report, known) is kind


@pytest.mark.parametrize(
    ("status", "state", "kind"),
    [
        ("needs_response", None, FindingKind.MISSED_DISPUTE),
        ("needs_response", "OPEN", None),
        ("lost", "OPEN", FindingKind.MISSED_WEBHOOK),
        ("won", "WON", None),
        ("warning_needs_response", None, None),  # an inquiry, which moves no money
    ],
)
def test_disputes_differ_in_what_we_have_not_heard(
    status: str, state: str | None, kind: FindingKind | None
) -> None:
    known = state and Dispute(
        "dsp_1",
        "du_1",
        "pay_1",
        "ord_1",
        "evt_1",
        "org_1",
        DisputeState(state),
        "EUR",
        10_000,
        "fraudulent",
        NOON,
        None,
    )
    assert compare_dispute(dispute_report(status), known or None) is kind


PROVIDER = RefundOrigin.PROVIDER


def taking(state: str, minor: int = 500) -> Refund:
    """A refund that cancels a ticket."""
    return refund(state, amount_minor=minor, ticket_numbers=(1,))


@pytest.mark.parametrize(
    ("refunds", "minor"),
    [
        ([taking("FAILED", 10_000)], 10_000),
        ([taking("FAILED", 8_000)], 8_000),  # a fee is kept
        ([taking("FAILED"), refund("SUCCEEDED")], 0),
        ([taking("FAILED"), refund("SUCCEEDED", amount_minor=100)], 400),
        ([taking("FAILED"), refund("FAILED")], 500),
        ([taking("SUCCEEDED", 8_000), refund("FAILED", amount_minor=2_000)], 2_000),
        ([taking("SUCCEEDED", 8_000)], 0),
        ([], 0),
        # Stripe has it, or will be asked.
        ([taking("FAILED"), refund("CREATED")], 0),
        ([taking("FAILED"), refund("PENDING")], 0),
        # The customer entered meanwhile, or the fee is all of it.
        ([refund("FAILED"), refund("FAILED", amount_minor=0)], 0),
        ([refund("FAILED"), taking("SUCCEEDED", 0)], 0),
        # In the dashboard nothing was decided for us.
        ([taking("SUCCEEDED", 8_000), refund("FAILED", origin=PROVIDER)], 0),
        ([taking("FAILED"), refund("SUCCEEDED", origin=PROVIDER, amount_minor=400)], 100),
        ([taking("FAILED", 9_000), refund("SUCCEEDED", amount_minor=9_900)], 0),
    ],
)
def test_order_that_was_cancelled_owes_what_its_refunds_failed_to_give_back(
    refunds: list[Refund], minor: int
) -> None:
    cancelled = order("CANCELLED", "ISSUED", payment_id="pay_1")
    assert owed(cancelled, "pay_1", left(refunds), refunds) == minor


@pytest.mark.parametrize(
    ("refunds", "minor"),
    [
        ([refund("FAILED")], 0),  # goodwill
        ([taking("FAILED")], 500),
        ([taking("FAILED"), refund("SUCCEEDED")], 0),
        ([taking("FAILED"), refund("FAILED")], 500),
        ([taking("FAILED"), taking("SUCCEEDED")], 500),
        ([taking("FAILED"), taking("FAILED", 300)], 800),
    ],
)
def test_paid_order_owes_what_a_cancelled_ticket_cost(refunds: list[Refund], minor: int) -> None:
    paid = order("PAID", "ISSUED", payment_id="pay_1")
    assert owed(paid, "pay_1", left(refunds), refunds) == minor


@pytest.mark.parametrize(("state", "kept"), [("PAID", "pay_2"), ("EXPIRED", None)])
@pytest.mark.parametrize(
    ("refunds", "minor"),
    [
        ([], 10_000),
        ([refund("FAILED", amount_minor=10_000)], 10_000),
        ([refund("SUCCEEDED", origin=PROVIDER), refund("FAILED", amount_minor=9_500)], 9_500),
        ([refund("CREATED", amount_minor=10_000)], 0),
        ([refund("SUCCEEDED", amount_minor=10_000)], 0),
        ([refund("FAILED"), refund("PENDING", amount_minor=10_000)], 0),
    ],
)
def test_charge_that_no_order_keeps_is_owed_until_it_is_on_its_way(
    state: str, kept: str | None, refunds: list[Refund], minor: int
) -> None:
    assert owed(order(state, payment_id=kept), "pay_1", left(refunds), refunds) == minor


def test_charge_that_an_order_may_still_keep_is_not_owed() -> None:
    assert owed(order(), "pay_1", 10_000, []) == 0


def test_refund_of_another_payment_says_nothing_about_this_one() -> None:
    cancelled = order("CANCELLED", "ISSUED", payment_id="pay_1")
    assert owed(cancelled, "pay_1", 10_000, [refund("FAILED", payment_id="pay_2")]) == 0


def left(refunds: list[Refund]) -> int:
    """What these refunds leave of a payment."""
    taken = sum(each.amount_minor for each in refunds if each.state is not RefundState.FAILED)
    return 10_000 - taken


def movement(about: Any, amount: int, fee: int = 0, currency_code: str = "EUR") -> Movement:
    return Movement("txn_1", currency_code, amount, fee, about)


CHARGE = ChargeReport("pi_1", "EUR", succeeded=True)
REFUND = RefundReport("re_1", "", "pi_1", "succeeded", "EUR", 500)


@pytest.mark.parametrize(
    ("moved", "sources"),
    [
        (movement(CHARGE, 10_000, 175), ("charge:x_1", "fee:x_1")),
        (movement(REFUND, -500), ("refund:x_1", "")),
        (movement(REFUND, 500), ("refund_failed:x_1", "")),
        (
            movement(dispute_report("needs_response"), -10_000, 1_500),
            ("dispute_opened:x_1", "dispute_fee:x_1"),
        ),
        (
            movement(dispute_report("won"), 10_000, -1_500),
            ("dispute_won:x_1", "dispute_fee_returned:x_1"),
        ),
    ],
)
def test_every_movement_has_its_place_in_the_ledger(
    moved: Movement, sources: tuple[str, str]
) -> None:
    found = expected(moved, "x_1")
    assert (found.amount_source, found.fee_source) == sources
    net = moved.amount_minor - moved.fee_minor
    booked = {
        found.amount_source: ("EUR", moved.amount_minor),
        found.fee_source: ("EUR", -moved.fee_minor),
    }
    assert found.compared(booked) == Comparison("txn_1", net, net)
    assert found.compared({}).differs
    assert expected(moved, None).compared(booked) == Comparison("txn_1", net, 0)


def test_of_what_is_paid_out_in_another_currency_only_the_fee_can_be_compared() -> None:
    found = expected(movement(CHARGE, 11_700, 230, "USD"), "x_1")
    booked = {"charge:x_1": ("EUR", 10_000), "fee:x_1": ("USD", -230)}
    assert found.compared(booked) == Comparison("txn_1", -230, -230)
    assert found.compared({"charge:x_1": ("EUR", 10_000)}).differs


def test_differences_that_cancel_each_other_out_are_seen() -> None:
    totals = Totals()
    totals.add("EUR", Comparison("txn_1", 100, 0))
    totals.add("EUR", Comparison("txn_2", 0, 100))
    totals.add("JPY", Comparison("txn_3", 50, 50))
    [found] = totals.findings()
    assert (found.kind, found.subject) == (FindingKind.BALANCE_MISMATCH, "EUR")
    assert "txn_1, txn_2" in found.detail
    assert "1.00 EUR" in found.detail


@pytest.mark.parametrize(
    ("start", "end"),
    [(NOON, NOON), (NOON, NOON - HOUR), (NOON - 93 * DAY, NOON), (NOON, NOON + HOUR)],
)
def test_some_periods_cannot_be_compared(start: datetime, end: datetime) -> None:
    with pytest.raises(InvalidPeriod):
        check_period(start, end, NOON)


def test_a_night_compares_the_last_days() -> None:
    morning = datetime(2026, 5, 1, 3, tzinfo=UTC)
    assert nightly_period(NOON, None) == (morning - 3 * DAY, morning)
    assert nightly_period(morning, None)[1] == morning
    assert nightly_period(morning - HOUR, None)[1] == morning - DAY


def test_after_a_long_pause_a_night_compares_what_nobody_has() -> None:
    morning = datetime(2026, 5, 1, 3, tzinfo=UTC)
    assert nightly_period(NOON, morning - 10 * DAY) == (morning - 10 * DAY, morning)
    assert nightly_period(NOON, morning - HOUR) == (morning - 3 * DAY, morning)
    assert nightly_period(NOON, morning - 92 * DAY) == (morning - 92 * DAY, morning)


def test_what_is_too_long_for_one_period_is_compared_in_parts() -> None:
    morning = datetime(2026, 5, 1, 3, tzinfo=UTC)
    compared_until, parts = morning - 200 * DAY, []
    while compared_until < morning:
        parts.append(nightly_period(NOON, compared_until))
        compared_until = parts[-1][1]
    assert parts == [
        (morning - 200 * DAY, morning - 184 * DAY),
        (morning - 184 * DAY, morning - 92 * DAY),
        (morning - 92 * DAY, morning),
    ]


@given(st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_all_replicas_agree_on_the_night(moment: datetime) -> None:
    start, end = nightly_period(moment, None)
    check_period(start, end, moment)
    assert moment - end < DAY
    assert nightly_period(moment, None) == nightly_period(end + (moment - end) / 2, None)
