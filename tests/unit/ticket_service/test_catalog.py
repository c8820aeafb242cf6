"""What an event and its ticket types are, and how they may change."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.money import Money, UnknownCurrency
from ticket_service.catalog import domain
from ticket_service.catalog.domain import (
    BookingFee,
    CancellationPolicy,
    Event,
    EventState,
    TicketType,
)

NOW = datetime(2026, 11, 20, 19, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)

EVENT = Event(
    id="evt",
    organizer_id="org",
    state=EventState.DRAFT,
    title="Tosca",
    description="",
    location="",
    starts_at=NOW + HOUR,
    ends_at=NOW + 3 * HOUR,
    time_zone="Europe/Vienna",
    currency_code="EUR",
    version=1,
    created_at=NOW,
    updated_at=NOW,
)
TICKET_TYPE = TicketType(
    id="tt",
    event_id="evt",
    name="Seat",
    price_minor=5000,
    currency_code="EUR",
    total_stock=10,
    remaining=4,
    sales_start=None,
    sales_end=None,
    max_per_order=10,
    is_seated=False,
    version=1,
    created_at=NOW,
    updated_at=NOW,
)
states = st.sampled_from(EventState)


@given(states, states)
def test_an_event_moves_only_along_the_table(start: EventState, end: EventState) -> None:
    event = replace(EVENT, state=start)
    if end is start:
        assert domain.move(event, end) is event
    elif end in domain.TRANSITIONS[start]:
        assert domain.move(event, end).state is end
    else:
        with pytest.raises((domain.EventIsFinal, domain.EventNotPublished)):
            domain.move(event, end)


@given(states)
def test_what_is_cancelled_or_over_stays_so(end: EventState) -> None:
    for final in (EventState.CANCELLED, EventState.ENDED):
        if end is not final:
            with pytest.raises(domain.EventIsFinal):
                domain.move(replace(EVENT, state=final), end)


def test_an_event_ends_after_it_starts() -> None:
    for end in (EVENT.starts_at, EVENT.starts_at - HOUR):
        with pytest.raises(domain.InvalidEventTimes) as refused:
            replace(EVENT, ends_at=end)
        assert refused.value.violations[0].field == "ends_at"


def test_an_event_has_a_currency_and_a_time_zone_that_exist() -> None:
    with pytest.raises(UnknownCurrency):
        replace(EVENT, currency_code="XYZ")
    for name in ("", "Vienna", "europe/vienna", "Europe/", "/etc/localtime", "localtime", "a\0b"):
        with pytest.raises(domain.UnknownTimeZone):
            replace(EVENT, time_zone=name)
    for name in ("UTC", "Asia/Kathmandu", "America/Argentina/Buenos_Aires"):
        replace(EVENT, time_zone=name)


def test_publishing_needs_something_to_sell_and_an_end_to_come() -> None:
    with pytest.raises(domain.EventWithoutTicketTypes):
        domain.publish(EVENT, has_ticket_types=False, now=NOW)
    with pytest.raises(domain.EventHasEnded):
        domain.publish(EVENT, has_ticket_types=True, now=EVENT.ends_at)
    published = domain.publish(EVENT, has_ticket_types=True, now=EVENT.starts_at + HOUR)
    assert published.state is EventState.PUBLISHED
    again = domain.publish(published, has_ticket_types=False, now=EVENT.ends_at)
    assert again is published


def test_unpublishing_needs_that_nobody_has_a_ticket() -> None:
    published = replace(EVENT, state=EventState.PUBLISHED)
    with pytest.raises(domain.EventInUse):
        domain.unpublish(published, in_use=True)
    assert domain.unpublish(published, in_use=False).state is EventState.DRAFT
    assert domain.unpublish(EVENT, in_use=True) is EVENT


def test_the_currency_stays_while_there_are_prices_in_it() -> None:
    with pytest.raises(domain.CurrencyIsFixed):
        domain.change(EVENT, {"currency_code": "USD"}, has_ticket_types=True)
    domain.change(EVENT, {"currency_code": "EUR"}, has_ticket_types=True)
    assert domain.change(EVENT, {"currency_code": "USD"}, has_ticket_types=False)
    final = replace(EVENT, state=EventState.CANCELLED)
    with pytest.raises(domain.EventIsFinal):
        domain.change(final, {"title": "x"}, has_ticket_types=False)


def test_a_price_is_in_the_events_currency() -> None:
    assert domain.minor_in("EUR", Money("EUR", 5000), field="price") == 5000
    with pytest.raises(domain.CurrencyMismatch, match="EUR"):
        domain.minor_in("EUR", Money("USD", 5000), field="price")


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"booking_fee": BookingFee(Money("USD", 0))}, "booking_fee.per_ticket"),
        (
            {"cancellation_policy": CancellationPolicy(NOW, Money("USD", 500))},
            "cancellation_policy.fee",
        ),
    ],
)
def test_fees_are_in_the_events_currency(terms: dict[str, Any], field: str) -> None:
    with pytest.raises(domain.CurrencyMismatch) as refused:
        replace(EVENT, **terms)
    assert refused.value.violations[0].field == f"{field}.currency_code"


def test_another_currency_needs_the_fees_in_it_too() -> None:
    event = replace(EVENT, booking_fee=BookingFee(Money("EUR", 100)))
    with pytest.raises(domain.CurrencyMismatch):
        domain.change(event, {"currency_code": "USD"}, has_ticket_types=False)
    for fee in (None, BookingFee(ppm=25_000), BookingFee(Money("USD", 100))):
        changes = {"currency_code": "USD", "booking_fee": fee}
        assert domain.change(event, changes, has_ticket_types=False).booking_fee == fee
        with pytest.raises(domain.CurrencyIsFixed):
            domain.change(event, changes, has_ticket_types=True)


def test_a_booking_fee_of_nothing_is_none_whatever_its_tax() -> None:
    assert BookingFee(tax_ppm=190_000).is_nothing
    assert BookingFee(Money("EUR", 0)).is_nothing
    assert not BookingFee(Money("EUR", 1)).is_nothing
    assert not BookingFee(ppm=1).is_nothing


def test_what_is_announced_is_what_was_otherwise_before() -> None:
    published = replace(EVENT, state=EventState.PUBLISHED)
    moved = replace(published, location="Other Street 2", starts_at=NOW + 2 * HOUR)
    assert domain.announced_before(published, moved) == {
        "location": "",
        "starts_at": EVENT.starts_at,
    }
    for unheard_of in (published, replace(published, description="x", booking_fee=BookingFee())):
        assert domain.announced_before(published, unheard_of) == {}
    assert domain.announced_before(EVENT, replace(EVENT, title="Aida")) == {}


def test_hidden_ticket_types_are_visible_to_who_sees_hidden_ones() -> None:
    hidden = replace(TICKET_TYPE, id="tt_2", is_hidden=True)
    types = [TICKET_TYPE, hidden]
    assert domain.visible(types, sees_hidden=False) == [TICKET_TYPE]
    assert domain.visible(types, sees_hidden=True) == types


def test_a_sales_window_ends_after_it_starts() -> None:
    for end in (NOW, NOW - HOUR):
        with pytest.raises(domain.InvalidSalesWindow):
            replace(TICKET_TYPE, sales_start=NOW, sales_end=end)
    replace(TICKET_TYPE, sales_start=NOW)
    replace(TICKET_TYPE, sales_end=NOW)


@given(
    total=st.integers(0, 1000),
    taken=st.integers(0, 1000),
    new_total=st.integers(0, 1000),
    price=st.integers(0, 10**12),
)
def test_a_change_keeps_what_is_sold_and_held(
    total: int, taken: int, new_total: int, price: int
) -> None:
    taken = min(taken, total)
    before = replace(TICKET_TYPE, total_stock=total, remaining=total - taken)
    changes = {"total_stock": new_total, "price_minor": price}
    if new_total < taken:
        with pytest.raises(domain.StockBelowSold):
            domain.change_ticket_type(before, changes)
        return
    after = domain.change_ticket_type(before, changes)
    assert after.total_stock - after.remaining == taken
    assert 0 <= after.remaining <= after.total_stock
    assert (after.price_minor, after.total_stock) == (price, new_total)
    assert replace(after, **{name: getattr(before, name) for name in (*changes, "remaining")}) == (
        before
    )


def test_a_change_without_stock_leaves_the_stock() -> None:
    assert domain.change_ticket_type(TICKET_TYPE, {"name": "Box"}) == replace(
        TICKET_TYPE, name="Box"
    )


def test_what_can_be_had_is_the_least_that_its_stock_and_its_quotas_leave() -> None:
    assert TICKET_TYPE.available == TICKET_TYPE.remaining == 4
    assert replace(TICKET_TYPE, quota_remaining=9).available == 4
    assert replace(TICKET_TYPE, quota_remaining=3).available == 3
    assert replace(TICKET_TYPE, quota_remaining=0).available == 0


def test_the_stock_of_seats_is_changed_by_seats_alone() -> None:
    seated = replace(TICKET_TYPE, is_seated=True)
    for total in (9, 11):
        with pytest.raises(domain.TicketTypeIsSeated):
            domain.change_ticket_type(seated, {"total_stock": total})
    same = domain.change_ticket_type(seated, {"total_stock": 10, "name": "Stalls"})
    assert same == replace(seated, name="Stalls")
