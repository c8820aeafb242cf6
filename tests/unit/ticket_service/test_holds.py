"""What a hold takes, at which price, and what may become of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import TesseraError
from ticket_service.catalog.domain import TicketTypeNotFound
from ticket_service.holds import domain
from ticket_service.holds.domain import Hold, HoldItem, HoldRequest, HoldState, NewHold
from ticket_service.stock.domain import Shelf, SoldOut, Stock

NOW = datetime(2026, 11, 20, 19, 30, tzinfo=UTC)
moments = st.none() | st.integers(-3, 3).map(lambda hours: NOW + timedelta(hours=hours))
STOCK = Stock("tt", "Seat", 5000, 10, 4, None, None)
HOLD = Hold("hold", "evt", HoldState.ACTIVE, "EUR", (), NOW, NOW)


def price(
    requests: Sequence[HoldRequest], stock: Mapping[str, Stock], now: datetime
) -> tuple[HoldItem, ...]:
    """The items of a single hold, or why there is none."""
    [decided] = domain.admit([("hold", requests)], Shelf(stock.values()), None, now)
    if isinstance(decided, TesseraError):
        raise decided
    return decided.items


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
            price(requests, stock, NOW)
        return
    items = price(requests, stock, NOW)
    assert [(item.ticket_type_id, item.quantity) for item in items] == [
        (request.ticket_type_id, request.quantity) for request in requests
    ]
    hold = replace(HOLD, items=items)
    assert hold.total_minor == sum(
        request.quantity * stock[request.ticket_type_id].price_minor for request in requests
    )
    freed = domain.freed([hold, hold])
    assert freed.quantities == {r.ticket_type_id: 2 * r.quantity for r in requests}
    assert freed.seat_ids == {}


@given(st.integers(0, 12), st.integers(1, 12))
def test_sold_out_is_said_only_when_it_is(remaining: int, quantity: int) -> None:
    stock = replace(STOCK, remaining=remaining, max_per_order=12)
    request = [HoldRequest("tt", quantity)]
    if quantity <= remaining:
        price(request, {"tt": stock}, NOW)
        return
    with pytest.raises(SoldOut) as refused:
        price(request, {"tt": stock}, NOW)
    assert refused.value.metadata == {"ticket_type_id": "tt", "remaining": str(remaining)}


def test_sales_begin_at_their_start_and_stop_at_their_end() -> None:
    stock = replace(STOCK, sales_start=NOW, sales_end=NOW + timedelta(hours=1))
    request, second = [HoldRequest("tt", 1)], timedelta(seconds=1)
    with pytest.raises(domain.SalesNotStarted):
        price(request, {"tt": stock}, NOW - second)
    price(request, {"tt": stock}, NOW)
    price(request, {"tt": stock}, NOW + timedelta(hours=1) - second)
    with pytest.raises(domain.SalesEnded):
        price(request, {"tt": stock}, NOW + timedelta(hours=1))


def test_the_request_that_asks_for_too_many_is_named() -> None:
    stock = {"tt": STOCK, "other": replace(STOCK, ticket_type_id="other")}
    with pytest.raises(domain.TooManyTickets, match="at most 4") as refused:
        price([HoldRequest("other", 1), HoldRequest("tt", 5)], stock, NOW)
    assert refused.value.violations[0].field == "items[1].quantity"


def test_a_ticket_type_is_named_once() -> None:
    domain.check_distinct([HoldRequest("a", 1), HoldRequest("b", 1)])
    with pytest.raises(domain.DuplicateTicketType) as refused:
        domain.check_distinct([HoldRequest("a", 1), HoldRequest("b", 1), HoldRequest("a", 2)])
    assert refused.value.violations[0].field == "items[2].ticket_type_id"


def test_the_same_type_at_the_same_price_costs_its_multiple() -> None:
    assert HoldItem("tt", "Seat", 3, 1999).amount_minor == 5997


@given(markets(), st.data())
def test_what_is_refused_leaves_the_shelf_as_it_was(
    market: tuple[list[HoldRequest], dict[str, Stock]], data: st.DataObject
) -> None:
    requests, stock = market
    quota = data.draw(st.integers(0, 20))
    shelf = Shelf(stock.values(), {"q": quota}, dict.fromkeys(stock, ("q",)))
    left = {key: shelf.left(key) for key in stock}
    [decided] = domain.admit([("hold", requests)], shelf, None, NOW)
    if isinstance(decided, NewHold):
        asked = sum(request.quantity for request in requests)
        assert asked == shelf.taken_of_quotas["q"] <= quota
        assert shelf.taken == {request.ticket_type_id: request.quantity for request in requests}
    else:
        assert {key: shelf.left(key) for key in stock} == left
        assert not any(shelf.taken.values())
        assert not any(shelf.taken_of_quotas.values())


def test_a_ticket_type_has_what_the_tightest_of_its_quotas_leaves() -> None:
    shelf = Shelf([STOCK], {"wide": 8, "tight": 3}, {"tt": ["wide", "tight"]})
    assert shelf.left("tt") == 3
    shelf.take("tt", 3)
    with pytest.raises(SoldOut) as refused:
        shelf.take("tt", 1)
    assert refused.value.metadata == {"ticket_type_id": "tt", "remaining": "0"}
    shelf.take("tt", -2)
    assert shelf.left("tt") == 2


@pytest.mark.parametrize(
    "request_",
    [HoldRequest("tt"), HoldRequest("tt", 3, ("a", "b"))],
    ids=["neither quantity nor seats", "another quantity than seats"],
)
def test_a_quantity_is_the_number_of_the_chosen_seats(request_: HoldRequest) -> None:
    with pytest.raises(domain.InvalidQuantity):
        price([request_], {"tt": STOCK}, NOW)


def test_seats_are_chosen_only_where_there_are_some() -> None:
    with pytest.raises(domain.TicketTypeNotSeated):
        price([HoldRequest("tt", seat_ids=("a",))], {"tt": STOCK}, NOW)


def test_a_hidden_ticket_type_is_not_there_unless_a_voucher_opened_it() -> None:
    stock = {"tt": replace(STOCK, is_hidden=True, sales_end=NOW, remaining=0)}
    for request in (HoldRequest("tt", 1), HoldRequest("tt", 99), HoldRequest("tt", 0, ("a",))):
        with pytest.raises(TicketTypeNotFound) as refused:
            price([request], stock, NOW)
        assert refused.value.metadata == {}  # as of one that there is not
    with pytest.raises(domain.SalesEnded):
        price([HoldRequest("tt", 1, is_opened=True)], stock, NOW)
    open_stock = {"tt": replace(STOCK, is_hidden=True)}
    assert price([HoldRequest("tt", 2, is_opened=True)], open_stock, NOW)[0].quantity == 2


def test_a_hold_takes_its_stock_again_all_or_none() -> None:
    other = replace(STOCK, ticket_type_id="other", remaining=1)
    shelf = Shelf([STOCK, other])
    both = (HoldItem("tt", "Seat", 2, 0), HoldItem("other", "Seat", 2, 0))
    fits, does_not = replace(HOLD, items=both[:1]), replace(HOLD, id="hold_2", items=both)
    refused = domain.take_again([does_not, fits], shelf, {})
    assert {key: type(error) for key, error in refused.items()} == {"hold_2": SoldOut}
    assert (shelf.left("tt"), shelf.left("other")) == (8, 1)


def test_what_became_tickets_is_not_released() -> None:
    converted = replace(HOLD, state=HoldState.CONVERTED, order_id="ord")
    assert isinstance(domain.released(converted), domain.HoldConverted)
    assert isinstance(domain.released(None), domain.HoldNotFound)
    assert converted.next_states == frozenset()
