"""What refunds give back, of which accounts, and how they move on."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kit.money import InvalidAmount
from payment_service.ledger import postings
from payment_service.orders.domain import ForbiddenTransition, Order
from payment_service.pricing.domain import BookingFee, Item, price, tickets_of
from payment_service.refunds import domain
from payment_service.refunds.domain import (
    TRANSITIONS,
    NothingToRefund,
    Plan,
    Refund,
    RefundOrigin,
    RefundState,
    RefundTooLarge,
    Share,
    Step,
    TicketNotValid,
    next_step,
    observe,
)
from tests.unit.payment_service.build import order


def refund(state: str = "CREATED", **fields: Any) -> Refund:
    values: dict[str, Any] = {
        "id": "ref_1",
        "order_id": "ord_1",
        "payment_id": "pay_1",
        "event_id": "evt_1",
        "origin": RefundOrigin.ADMIN,
        "currency_code": "EUR",
        "amount_minor": 5_000,
        **fields,
    }
    return Refund(state=RefundState(state), **values)


def made(plan: Plan, state: str = "SUCCEEDED") -> Refund:
    return refund(
        state,
        amount_minor=plan.amount_minor,
        allocation=plan.allocation,
        ticket_numbers=plan.ticket_numbers,
    )


def sold(*, currency: str = "EUR", fee: int = 150, prices: tuple[int, ...] = (3000, 2500)) -> Order:
    """Two tickets of each type, with 19 % tax, and a booking fee for each."""
    items = [Item(f"tt_{n}", f"Type {n}", 2, each, 190_000) for n, each in enumerate(prices)]
    priced = price(currency, items, BookingFee(fee, 0, 190_000))
    return order(
        "PAID",
        "ISSUED",
        currency_code=currency,
        lines=priced.lines,
        booking_fee_minor=priced.booking_fee_minor,
        booking_fee_tax_minor=priced.booking_fee_tax_minor,
        total_minor=priced.total_minor,
    )


def stand(of: Order, *refunds: Refund) -> dict[tuple[str, str], int]:
    return domain.position(postings.charge_of_order(of, "pay_1").entries, refunds)


def left(of: Order, *refunds: Refund) -> int:
    return -sum(stand(of, *refunds).values())


def take(
    of: Order, *numbers: int, minor: int | None = None, after: tuple[Refund, ...] = ()
) -> Plan:
    shares = [share for share in tickets_of(of.currency_code, of.lines) if share.number in numbers]
    return domain.plan_tickets(of.currency_code, stand(of, *after), shares, minor)


def on(plan: Plan, account: str) -> int:
    return sum(share.minor for share in plan.allocation if share.account == account)


# What goes back


def test_everything_goes_back_to_where_it_came_from() -> None:
    order = sold()
    plan = domain.plan_all("EUR", stand(order), {1, 2, 3, 4})
    assert plan.amount_minor == order.total_minor
    assert plan.ticket_numbers == (1, 2, 3, 4)
    assert not any(stand(order, made(plan)).values())


def test_booking_fee_can_be_kept() -> None:
    order = sold()
    plan = domain.plan_all("EUR", stand(order), {1, 2, 3, 4}, keep_booking_fee=True)
    assert plan.amount_minor == order.total_minor - order.booking_fee_minor
    assert on(plan, "BOOKING_FEES") == 0
    assert left(order, made(plan)) == order.booking_fee_minor


def test_fee_for_the_cancellation_is_kept_on_its_own_account() -> None:
    order = sold()
    plan = domain.plan_all("EUR", stand(order), {1, 2, 3, 4}, fee_minor=1_000)
    assert plan.amount_minor == order.total_minor - 1_000
    assert {key: minor for key, minor in stand(order, made(plan)).items() if minor} == {
        ("CANCELLATION_FEES", ""): -1_000
    }


def test_fee_takes_no_more_than_there_is() -> None:
    order = sold()
    plan = domain.plan_all("EUR", stand(order), {1}, fee_minor=10**9)
    assert plan.amount_minor == 0
    assert on(plan, "CANCELLATION_FEES") == -order.total_minor


def test_fee_that_was_kept_can_be_given_back_later() -> None:
    order = sold()
    first = made(domain.plan_all("EUR", stand(order), {1, 2, 3, 4}, fee_minor=1_000))
    rest = domain.plan_all("EUR", stand(order, first), ())
    assert rest == Plan(1_000, (Share("CANCELLATION_FEES", "", 1_000),))


def test_tickets_go_back_for_what_they_cost() -> None:
    plan = take(sold(), 1, 4)
    assert plan.amount_minor == 5_500
    assert plan.ticket_numbers == (1, 4)
    assert {share.ticket_type_id for share in plan.allocation} == {"tt_0", "tt_1"}
    assert on(plan, "BOOKING_FEES") == 0


def test_tickets_may_go_back_for_less_and_the_rest_is_a_fee() -> None:
    plan = take(sold(), 1, minor=2_000)
    assert plan.amount_minor == 2_000
    assert on(plan, "CANCELLATION_FEES") == -1_000


def test_tickets_may_go_back_for_nothing() -> None:
    assert take(sold(), 1, minor=0).amount_minor == 0


def test_tickets_do_not_go_back_for_more_than_they_cost() -> None:
    with pytest.raises(RefundTooLarge):
        take(sold(), 1, minor=3_001)


def test_tickets_one_by_one_are_the_whole_order_but_its_fee() -> None:
    order = sold(prices=(3_333, 1))
    refunds: tuple[Refund, ...] = ()
    for number in (3, 1, 4, 2):
        refunds += (made(take(order, number, after=refunds)),)
    assert left(order, *refunds) == order.booking_fee_minor


def test_amount_goes_back_as_goodwill() -> None:
    assert domain.plan_amount("EUR", stand(sold()), 700) == Plan(700, (Share("GOODWILL", "", 700),))


def test_amount_of_a_charge_that_no_order_keeps_is_taken_off_what_is_owed() -> None:
    plan = domain.plan_amount("EUR", domain.owed(5000), 2000)
    assert plan.allocation == domain.unallocated(2000)
    with pytest.raises(RefundTooLarge):
        domain.plan_amount("EUR", domain.owed(5000), 5001)


def test_what_was_lost_to_a_bank_is_neither_given_back_nor_a_loss_besides() -> None:
    of = sold()
    after = domain.position(postings.charge_of_order(of, "pay_1").entries, [], 3000)
    plan = domain.plan_all("EUR", after, ())
    assert plan.amount_minor == of.total_minor - 3000
    assert on(plan, "DISPUTE_LOSSES") == -3000
    given = refund("CREATED", amount_minor=5000, allocation=domain.goodwill(5000))
    rest = domain.resized(given, 1000, lost_minor=3000)
    assert sorted(rest.allocation) == [("DISPUTE_LOSSES", "", -3000), ("GOODWILL", "", 4000)]
    assert domain.regained([rest, replace(rest, state=RefundState.FAILED)]) == 3000
    assert domain.resized(rest, 5000).allocation == (
        ("GOODWILL", "", 8000),
        ("DISPUTE_LOSSES", "", -3000),
    )


def test_used_ticket_is_spared_of_what_a_bank_took_a_part_of() -> None:
    of = sold(fee=0)
    plan = domain.plan_all("EUR", stand(of), {1, 2, 3, 4})
    fitted = domain.resized(replace(made(plan), state=RefundState.CREATED), 100, of.total_minor)
    shares = tickets_of("EUR", of.lines)
    rest = domain.sparing(fitted, shares[:1])
    assert rest.amount_minor == domain.total(rest.allocation) == 0
    assert rest.ticket_numbers == (2, 3, 4)


def test_goodwill_counts_towards_what_tickets_and_everything_give_back_later() -> None:
    order = sold()
    shown = made(domain.plan_amount("EUR", stand(order), order.total_minor - 1_000))
    ticket = take(order, 1, after=(shown,))
    assert ticket.amount_minor == 1_000
    assert on(ticket, "GOODWILL") == -2_000
    rest = domain.plan_all("EUR", stand(order, shown), {1, 2, 3, 4})
    assert rest.amount_minor == 1_000
    assert not any(stand(order, shown, made(rest)).values())


def test_goodwill_beyond_what_is_refundable_without_the_fee_gives_nothing_more() -> None:
    order = sold()
    shown = made(domain.plan_amount("EUR", stand(order), order.total_minor - 100))
    plan = domain.plan_all("EUR", stand(order, shown), {1}, keep_booking_fee=True)
    assert plan.amount_minor == 0
    assert domain.total(plan.allocation) == 0


def test_no_more_goes_back_than_is_left() -> None:
    order = sold()
    part = made(domain.plan_amount("EUR", stand(order), 10_000))
    with pytest.raises(RefundTooLarge):
        domain.plan_amount("EUR", stand(order, part), order.total_minor - 10_000 + 1)


def test_refund_that_failed_leaves_everything_to_be_given_back() -> None:
    order = sold()
    failed = made(domain.plan_all("EUR", stand(order), {1, 2, 3, 4}), "FAILED")
    assert left(order, failed) == order.total_minor
    assert domain.plan_all("EUR", stand(order, failed), ()).amount_minor == order.total_minor


def test_nothing_is_refused() -> None:
    order = sold()
    whole = made(domain.plan_all("EUR", stand(order), {1, 2, 3, 4}))
    with pytest.raises(NothingToRefund):
        domain.plan_all("EUR", stand(order, whole), ())
    with pytest.raises(NothingToRefund):
        domain.plan_amount("EUR", stand(order), 0)


def test_order_without_money_gives_back_its_tickets() -> None:
    assert domain.plan_all("EUR", {}, {1, 2}) == Plan(0, (), (1, 2))


def test_three_decimals_go_back_in_tens() -> None:
    order = sold(currency="KWD", fee=0, prices=(1_230, 990))
    fee = domain.plan_all("KWD", stand(order), {1}, fee_minor=333)
    assert (fee.amount_minor, on(fee, "CANCELLATION_FEES")) == (4_100, -340)
    with pytest.raises(InvalidAmount):
        domain.plan_amount("KWD", stand(order), 1_001)


def test_charge_that_no_order_keeps_goes_back_as_such() -> None:
    plan = domain.plan_all("EUR", domain.owed(900), ())
    assert plan == Plan(900, domain.unallocated(900))


def test_ticket_goes_back_once() -> None:
    known = refund(ticket_numbers=(2,))
    valid = {1, 2} - domain.cancelled_numbers([known])
    domain.check_valid([1], valid)
    with pytest.raises(TicketNotValid):
        domain.check_valid([2], valid)


@st.composite
def wishes(draw: st.DrawFn) -> tuple[str, Any]:
    kind = draw(st.sampled_from(["tickets", "tickets for less", "amount", "fail", "all"]))
    return kind, draw(st.integers(0, 20_000))


@given(
    st.lists(st.integers(0, 9_999), min_size=1, max_size=3),
    st.integers(0, 500),
    st.sampled_from(["EUR", "JPY", "KWD"]),
    st.lists(wishes(), max_size=8),
)
def test_whatever_is_asked_for_no_more_goes_back_than_was_paid(
    prices: list[int], fee: int, currency: str, asked: list[tuple[str, int]]
) -> None:
    step = 10 if currency == "KWD" else 1
    order = sold(currency=currency, fee=fee * step, prices=tuple(each * step for each in prices))
    refunds: list[Refund] = []
    for kind, number in asked:
        try:
            plan = ask(order, refunds, kind, number)
        except (NothingToRefund, RefundTooLarge, InvalidAmount, TicketNotValid):
            continue
        assert 0 <= plan.amount_minor == domain.total(plan.allocation)
        refunds.append(made(plan))
        if kind == "fail":
            refunds[-1] = replace(refunds[-1], state=RefundState.FAILED)
        gone = sum(each.amount_minor for each in refunds if each.state != "FAILED")
        assert left(order, *refunds) == order.total_minor - gone >= 0
    cancelled = Counter(number for each in refunds for number in each.ticket_numbers)
    assert max(cancelled.values(), default=0) <= 1


def ask(order: Order, refunds: list[Refund], kind: str, number: int) -> Plan:
    now, currency = stand(order, *refunds), order.currency_code
    count = sum(line.quantity for line in order.lines)
    valid = set(range(1, count + 1)) - domain.cancelled_numbers(refunds)
    if kind == "amount":
        return domain.plan_amount(currency, now, number)
    if kind in ("all", "fail"):
        return domain.plan_all(currency, now, valid, keep_booking_fee=number % 2 == 0)
    chosen = [number % count + 1]
    domain.check_valid(chosen, valid)
    return take(
        order, *chosen, minor=number if kind == "tickets for less" else None, after=tuple(refunds)
    )


# What goes back without the tickets that were used


def spare(of: Order, whole: Refund, *numbers: int) -> Refund:
    shares = [share for share in tickets_of(of.currency_code, of.lines) if share.number in numbers]
    return domain.sparing(whole, shares)


def test_all_but_what_was_used_goes_back() -> None:
    order = sold()
    rest = spare(order, made(domain.plan_all("EUR", stand(order), {1, 2, 3, 4})), 2)
    assert rest.amount_minor == order.total_minor - 3_000
    assert rest.ticket_numbers == (1, 3, 4)
    assert {key: minor for key, minor in stand(order, rest).items() if minor} == {
        ("TICKET_REVENUE", "tt_0"): -2_521,
        ("TAX", "tt_0"): -479,
    }
    used = made(take(order, 2, after=(rest,)))
    assert left(order, rest, used) == 0


def test_nothing_used_leaves_a_refund_as_it_is() -> None:
    order = sold()
    whole = made(domain.plan_all("EUR", stand(order), {1, 2, 3, 4}, fee_minor=1_000))
    assert spare(order, whole) == whole


@pytest.mark.parametrize(("fee", "goes_back", "kept"), [(1_000, 2_300, 1_000), (9_000, 0, 3_300)])
def test_fee_is_kept_as_far_as_there_is_something_to_keep_it_of(
    fee: int, goes_back: int, kept: int
) -> None:
    order = sold(prices=(3_000,))
    plan = domain.plan_all("EUR", stand(order), {1, 2}, fee_minor=fee)
    rest = spare(order, made(plan), 1)
    assert rest.amount_minor == goes_back
    assert stand(order, rest)["CANCELLATION_FEES", ""] == -min(kept, order.total_minor)


def test_goodwill_that_was_more_than_what_is_left_stays_shown() -> None:
    order = sold(fee=0, prices=(3_000,))
    shown = made(domain.plan_amount("EUR", stand(order), 5_000))
    rest = spare(order, made(domain.plan_all("EUR", stand(order, shown), {1, 2})), 1)
    assert rest.amount_minor == 0
    assert stand(order, shown, rest)["GOODWILL", ""] == 2_000
    assert left(order, shown, rest) == 1_000


def test_refund_of_nothing_but_used_tickets_is_about_nothing() -> None:
    order = sold()
    for minor in (None, 2_000, 0):
        rest = spare(order, made(take(order, 1, 2, minor=minor)), 1, 2)
        assert (rest.amount_minor, rest.allocation, rest.ticket_numbers) == (0, (), ())


@given(
    st.sampled_from(["EUR", "JPY", "KWD", "MGA"]),
    st.lists(st.integers(0, 9_999), min_size=1, max_size=3),
    st.integers(0, 500),
    st.lists(wishes(), max_size=4),
    st.integers(0, 20_000),
    st.sets(st.integers(1, 6)),
    st.booleans(),
)
def test_whatever_was_used_the_rest_adds_up_and_nothing_is_taken_that_is_not_there(
    currency: str,
    prices: list[int],
    fee: int,
    asked: list[tuple[str, int]],
    kept: int,
    used: set[int],
    keep_booking_fee: bool,
) -> None:
    order = sold(currency=currency, fee=fee, prices=tuple(prices))
    before: list[Refund] = []
    for kind, number in asked:
        with suppress(NothingToRefund, RefundTooLarge, InvalidAmount, TicketNotValid):
            before.append(made(ask(order, before, kind, number)))
    count = sum(line.quantity for line in order.lines)
    valid = set(range(1, count + 1)) - domain.cancelled_numbers(before)
    assume(valid)
    plan = domain.plan_all(
        currency, stand(order, *before), valid, keep_booking_fee=keep_booking_fee, fee_minor=kept
    )
    whole = replace(made(plan), currency_code=currency)
    rest = spare(order, whole, *used & valid)
    assert 0 <= rest.amount_minor == domain.total(rest.allocation) <= whole.amount_minor
    assert domain.payable(currency, rest.amount_minor) == rest.amount_minor
    assert set(rest.ticket_numbers) == valid - used
    assert all(
        minor <= 0
        for (account, _), minor in stand(order, *before, rest).items()
        if account != "GOODWILL"
    )
    assert spare(order, rest) == rest


# How refunds move on


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (refund(tickets_cancelled=False), Step.CANCEL_TICKETS),
        (refund(tickets_cancelled=False, amount_minor=0), Step.CANCEL_TICKETS),
        (refund(), Step.PAY),
        (refund(amount_minor=0), Step.FINISH),
        (refund("PENDING"), Step.LOOK),
        (refund("SUCCEEDED"), Step.NOTHING),
        (refund("FAILED"), Step.NOTHING),
    ],
)
def test_tickets_go_first_and_the_money_follows(given: Refund, expected: Step) -> None:
    assert next_step(given) is expected


MOVES = {
    ("CREATED", "PENDING"),
    ("CREATED", "SUCCEEDED"),
    ("CREATED", "FAILED"),
    ("PENDING", "SUCCEEDED"),
    ("PENDING", "FAILED"),
    ("SUCCEEDED", "FAILED"),
}


@pytest.mark.parametrize("before", RefundState)
@pytest.mark.parametrize("after", RefundState)
def test_refund_makes_only_the_moves_of_its_table(before: RefundState, after: RefundState) -> None:
    if (before, after) in MOVES:
        assert domain.move(refund(before), after) is after
    else:
        with pytest.raises(ForbiddenTransition):
            domain.move(refund(before), after)
    assert set(TRANSITIONS) == set(RefundState)


HISTORIES = [
    ["succeeded"],
    ["pending", "succeeded"],
    ["pending", "failed"],
    ["succeeded", "failed"],
    ["pending", "succeeded", "failed"],
    ["requires_action", "pending", "succeeded"],
    ["requires_action", "canceled"],
]


@given(st.sampled_from(HISTORIES), st.data())
def test_reports_end_the_same_however_often_and_in_whatever_order_they_come(
    history: list[str], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(history), max_size=5))
    heard = data.draw(st.permutations(history + again))
    ended, expected = refund(), refund()
    for status in heard:
        ended = replace(ended, state=observe(ended, status))
    for status in history:
        expected = replace(expected, state=observe(expected, status))
    assert ended.state is expected.state


def test_word_of_a_later_version_is_waited_for() -> None:
    assert observe(refund(), "a word of a later version") is RefundState.PENDING


def test_each_attempt_has_an_idempotency_key_of_its_own() -> None:
    assert len({refund(key_number=number).idempotency_key for number in (1, 2)}) == 2


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, False), ({"attempts": 1}, False), ({"attempts": 2}, True), ({"key_number": 2}, True)],
)
def test_stripe_is_searched_for_a_refund_that_it_may_know(
    fields: dict[str, Any], expected: bool
) -> None:
    assert refund(**fields).may_be_known is expected
