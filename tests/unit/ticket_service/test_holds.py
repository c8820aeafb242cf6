"""What a hold takes, at which price, and what may become of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import TesseraError
from ticket_service.holds import domain
from ticket_service.holds.domain import Hold, HoldItem, HoldRequest, HoldState, Stock

NOW = datetime(2026, 11, 20, 19, 30, tzinfo=UTC)
moments = st.none() | st.integers(-3, 3).map(lambda hours: NOW + timedelta(hours=hours))
STOCK = Stock("tt", "Seat", 5000, 10, 4, None, None)
HOLD = Hold("hold", "evt", HoldState.ACTIVE, "EUR", (), NOW, NOW)


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[HoldRequest], dict[str, Stock]]:
    """Some ticket types, and requests for some of them, each named once."""
    stock = {
        f"tt_{number}": Stock(
            ticket_type_id=f"tt_{number}",
            name=f"Type {number}",
            price_minor=draw(st.integers(0, 10**12)),
            remaining=draw(st.integers(0, 12)),
            max_per_order=draw(st.integers(1, 12)),
            sales_start=draw(moments),
            sales_end=draw(moments),
        )
        for number in range(draw(st.integers(1, 4)))
    }
    asked = draw(st.lists(st.sampled_from(sorted(stock)), min_size=1, unique=True))
    return [HoldRequest(key, draw(st.integers(1, 12))) for key in asked], stock


def is_allowed(request: HoldRequest, stock: Stock) -> bool:
    return (
        request.quantity <= stock.max_per_order
        and request.quantity <= stock.remaining
        and (stock.sales_start is None or stock.sales_start <= NOW)
        and (stock.sales_end is None or stock.sales_end > NOW)
    )


@given(markets())
def test_all_requests_are_priced_or_none(
    market: tuple[list[HoldRequest], dict[str, Stock]],
) -> None:
    requests, stock = market
    everything_is_allowed = all(is_allowed(r, stock[r.ticket_type_id]) for r in requests)
    if not everything_is_allowed:
        with pytest.raises(TesseraError):
            domain.price(requests, stock, NOW)
        return
    items = domain.price(requests, stock, NOW)
    assert [(item.ticket_type_id, item.quantity) for item in items] == [
        (request.ticket_type_id, request.quantity) for request in requests
    ]
    hold = replace(HOLD, items=items)
    assert hold.total_minor == sum(
        request.quantity * stock[request.ticket_type_id].price_minor for request in requests
    )
    assert hold.quantities == {r.ticket_type_id: r.quantity for r in requests}


@given(st.integers(0, 12), st.integers(1, 12))
def test_sold_out_is_said_only_when_it_is(remaining: int, quantity: int) -> None:
    stock = replace(STOCK, remaining=remaining, max_per_order=12)
    request = [HoldRequest("tt", quantity)]
    if quantity <= remaining:
        domain.price(request, {"tt": stock}, NOW)
        return
    with pytest.raises(domain.SoldOut) as refused:
        domain.price(request, {"tt": stock}, NOW)
    assert refused.value.metadata == {"ticket_type_id": "tt", "remaining": str(remaining)}


def test_sales_begin_at_their_start_and_stop_at_their_end() -> None:
    stock = replace(STOCK, sales_start=NOW, sales_end=NOW + timedelta(hours=1))
    request, second = [HoldRequest("tt", 1)], timedelta(seconds=1)
    with pytest.raises(domain.SalesNotStarted):
        domain.price(request, {"tt": stock}, NOW - second)
    domain.price(request, {"tt": stock}, NOW)
    domain.price(request, {"tt": stock}, NOW + timedelta(hours=1) - second)
    with pytest.raises(domain.SalesEnded):
        domain.price(request, {"tt": stock}, NOW + timedelta(hours=1))


def test_the_request_that_asks_for_too_many_is_named() -> None:
    stock = {"tt": STOCK, "other": replace(STOCK, ticket_type_id="other")}
    with pytest.raises(domain.TooManyTickets, match="at most 4") as refused:
        domain.price([HoldRequest("other", 1), HoldRequest("tt", 5)], stock, NOW)
    assert refused.value.violations[0].field == "items[1].quantity"


def test_a_ticket_type_is_named_once() -> None:
    domain.check_distinct([HoldRequest("a", 1), HoldRequest("b", 1)])
    with pytest.raises(domain.DuplicateTicketType) as refused:
        domain.check_distinct([HoldRequest("a", 1), HoldRequest("b", 1), HoldRequest("a", 2)])
    assert refused.value.violations[0].field == "items[2].ticket_type_id"


def test_the_same_type_at_the_same_price_costs_its_multiple() -> None:
    assert HoldItem("tt", "Seat", 3, 1999).amount_minor == 5997


@pytest.mark.parametrize(
    ("state", "changes"),
    [(HoldState.ACTIVE, True), (HoldState.EXPIRED, False), (HoldState.RELEASED, False)],
)
def test_only_a_live_hold_is_changed_by_a_release(state: HoldState, changes: bool) -> None:
    assert domain.check_releasable(replace(HOLD, state=state)) is changes


@pytest.mark.parametrize(
    ("state", "takes"),
    [(HoldState.ACTIVE, False), (HoldState.EXPIRED, True), (HoldState.RELEASED, True)],
)
def test_a_hold_that_gave_its_stock_back_takes_it_again(state: HoldState, takes: bool) -> None:
    assert domain.needs_stock_again(replace(HOLD, state=state)) is takes


def test_what_became_tickets_is_neither_released_nor_converted() -> None:
    converted = replace(HOLD, state=HoldState.CONVERTED, order_id="ord")
    with pytest.raises(domain.HoldConverted):
        domain.check_releasable(converted)
    with pytest.raises(domain.HoldConverted):
        domain.needs_stock_again(converted)
