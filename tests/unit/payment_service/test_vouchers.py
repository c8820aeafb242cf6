"""What a voucher takes off, and whom it admits."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.vouchers import domain
from payment_service.vouchers.domain import Uses, Voucher, VoucherUse
from tests.unit.payment_service.build import NOON

AMOUNTS = st.integers(min_value=0, max_value=10**12)
LINES = st.lists(st.tuples(st.sampled_from(["tt_1", "tt_2", "tt_3"]), AMOUNTS), max_size=6)
PPM = st.integers(min_value=0, max_value=1_000_000)


def voucher(**fields: Any) -> Voucher:
    values: dict[str, Any] = {
        "id": "vch_1",
        "organizer_id": "org_1",
        "code": "SPRING",
        "event_id": "evt_1" if fields.get("ticket_type_ids") else None,
        "ticket_type_ids": (),
        "percentage_ppm": 0,
        "currency_code": "EUR" if fields.get("amount_minor") else None,
        "amount_minor": 0,
        "max_redemptions": None,
        "max_per_customer": None,
        "max_per_event": None,
        "valid_from": None,
        "valid_until": None,
        "version": 1,
        "created_at": NOON,
        "updated_at": NOON,
        **fields,
    }
    return Voucher(**values)


def use(*ticket_type_ids: str, hidden: tuple[str, ...] = ()) -> VoucherUse:
    return VoucherUse(
        organizer_id="org_1",
        event_id="evt_1",
        code="SPRING",
        customer_email="grace@customer.example",
        currency_code="EUR",
        ticket_type_ids=ticket_type_ids,
        hidden_type_ids=hidden,
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"percentage_ppm": 1, "amount_minor": 1}, "amount"),
        ({"ticket_type_ids": ("tt_1",), "event_id": None}, "ticket_type_ids"),
        ({"valid_from": NOON, "valid_until": NOON}, "valid_until"),
    ],
)
def test_a_voucher_does_not_contradict_itself(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(domain.InvalidVoucher) as caught:
        voucher(**fields)
    assert caught.value.violations[0].field == field


@given(LINES, PPM)
def test_a_percentage_is_taken_of_the_lines_it_is_for(
    lines: list[tuple[str, int]], ppm: int
) -> None:
    found = voucher(percentage_ppm=ppm, ticket_type_ids=("tt_1", "tt_2"))
    cost = sum(amount for ticket_type_id, amount in lines if ticket_type_id != "tt_3")
    off = domain.discount(found, lines)
    assert abs(off * 1_000_000 - cost * ppm) <= 500_000
    assert 0 <= off <= cost


@given(LINES)
def test_a_hundred_percent_leaves_nothing_to_pay(lines: list[tuple[str, int]]) -> None:
    off = domain.discount(voucher(percentage_ppm=1_000_000), lines)
    assert off == sum(amount for _, amount in lines)


@given(LINES, st.integers(min_value=1, max_value=10**12))
def test_an_amount_takes_off_no_more_than_the_lines_cost(
    lines: list[tuple[str, int]], amount_minor: int
) -> None:
    found = voucher(amount_minor=amount_minor, ticket_type_ids=("tt_1",))
    cost = sum(amount for ticket_type_id, amount in lines if ticket_type_id == "tt_1")
    assert domain.discount(found, lines) == min(amount_minor, cost)


def test_a_voucher_that_only_opens_takes_nothing_off() -> None:
    assert domain.discount(voucher(ticket_type_ids=("tt_1",)), [("tt_1", 5_000)]) == 0


def test_half_a_cent_is_taken_off_as_a_whole_one() -> None:
    assert domain.discount(voucher(percentage_ppm=500_000), [("tt_1", 5), ("tt_2", 4)]) == 5


@given(LINES, PPM)
def test_what_is_left_can_be_charged_in_currencies_that_go_in_steps(
    lines: list[tuple[str, int]], ppm: int
) -> None:
    in_tens = [(ticket_type_id, amount - amount % 10) for ticket_type_id, amount in lines]
    off = domain.discount(voucher(percentage_ppm=ppm), in_tens, step=10)
    assert off % 10 == 0
    assert 0 <= domain.discount(voucher(percentage_ppm=ppm), in_tens) - off < 10
    assert domain.discount(voucher(amount_minor=25), [("tt_1", 15)], step=10) == 15


@pytest.mark.parametrize(
    ("named", "hidden", "is_for"),
    [((), False, True), ((), True, False), (("tt_1",), True, True), (("tt_2",), False, False)],
)
def test_a_voucher_is_for_hidden_ticket_types_only_if_it_names_them(
    named: tuple[str, ...], hidden: bool, is_for: bool
) -> None:
    assert voucher(ticket_type_ids=named).is_for("tt_1", is_hidden=hidden) is is_for


def test_hidden_ticket_types_need_a_voucher_that_names_them() -> None:
    domain.check_ticket_types(voucher(ticket_type_ids=("tt_1",)), use("tt_1", hidden=("tt_1",)))
    for found in (voucher(), voucher(ticket_type_ids=("tt_2",))):
        with pytest.raises(domain.VoucherRequired):
            domain.check_ticket_types(found, use("tt_1", "tt_2", hidden=("tt_1",)))
    with pytest.raises(domain.VoucherRequired):
        domain.check_opened(["tt_1"])
    domain.check_opened([])


def test_a_voucher_is_for_an_order_of_which_it_names_some_ticket_types() -> None:
    found = voucher(ticket_type_ids=("tt_1",))
    domain.check_ticket_types(found, use("tt_1", "tt_2"))
    with pytest.raises(domain.VoucherNotApplicable, match="other ticket types"):
        domain.check_ticket_types(found, use("tt_2"))


def test_a_voucher_is_good_from_its_first_moment_and_not_at_its_last() -> None:
    found = voucher(valid_from=NOON, valid_until=NOON + timedelta(hours=1))
    second = timedelta(seconds=1)
    for now in (NOON, NOON + timedelta(hours=1) - second):
        domain.check_moment(found, now)
    with pytest.raises(domain.VoucherNotApplicable, match="not valid yet"):
        domain.check_moment(found, NOON - second)
    with pytest.raises(domain.VoucherNotApplicable, match="no longer"):
        domain.check_moment(found, NOON + timedelta(hours=1))


def test_a_voucher_of_another_event_or_currency_is_refused() -> None:
    domain.check_event(voucher(), "evt_1")
    domain.check_event(voucher(event_id="evt_1"), "evt_1")
    with pytest.raises(domain.VoucherNotApplicable, match="another event"):
        domain.check_event(voucher(event_id="evt_2"), "evt_1")
    domain.check_currency(voucher(percentage_ppm=1), "JPY")
    with pytest.raises(domain.VoucherNotApplicable, match="EUR"):
        domain.check_currency(voucher(amount_minor=1), "JPY")


@pytest.mark.parametrize(
    ("limit", "uses"),
    [
        ("max_redemptions", Uses(3, 0, 0)),
        ("max_per_event", Uses(0, 3, 0)),
        ("max_per_customer", Uses(0, 0, 3)),
    ],
)
def test_each_limit_admits_so_many_orders_and_no_more(limit: str, uses: Uses) -> None:
    domain.check_limits(voucher(), uses)
    domain.check_limits(voucher(**{limit: 4}), uses)
    for at_most in (3, 1):  # lowered below what is used
        with pytest.raises(domain.VoucherExhausted):
            domain.check_limits(voucher(**{limit: at_most}), uses)


def test_a_voucher_with_no_limit_is_not_limited() -> None:
    assert not voucher().is_limited
    assert voucher(max_per_customer=1).is_limited


@pytest.mark.parametrize("typed", ["spring-20", " Spring-20 ", "SPRING-20"])
def test_a_code_is_the_same_however_it_is_typed(typed: str) -> None:
    assert domain.normal_code(typed) == "SPRING-20"
