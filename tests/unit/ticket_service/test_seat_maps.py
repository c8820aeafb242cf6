"""As which ticket types the zones of a hall are sold, and what stock that makes."""

from datetime import UTC, datetime

import pytest

from kit.errors import TesseraError
from ticket_service.catalog.domain import TicketType, TicketTypeInUse, TicketTypeNotFound
from ticket_service.seating import maps
from ticket_service.seating.maps import (
    DuplicateZone,
    HallWithoutSeats,
    ZoneNotFound,
    ZoneRequest,
    ZoneSize,
    ZoneWithoutTicketType,
)

NOW = datetime(2026, 11, 20, 19, 30, tzinfo=UTC)
HALL = {
    "Stalls": ZoneSize(seats=10, for_sale=8),
    "Box": ZoneSize(seats=4, for_sale=4),
    "Empty": ZoneSize(seats=0, for_sale=0),
}


def ticket_type(ticket_type_id: str, taken: int = 0, *, is_seated: bool = False) -> TicketType:
    return TicketType(
        id=ticket_type_id,
        event_id="evt",
        name=ticket_type_id,
        price_minor=5000,
        currency_code="EUR",
        total_stock=10,
        remaining=10 - taken,
        sales_start=None,
        sales_end=None,
        max_per_order=10,
        is_seated=is_seated,
        version=1,
        created_at=NOW,
        updated_at=NOW,
    )


def seat(requests: str, *ticket_types: TicketType) -> dict[str, int]:
    """The stock that `Stalls=one Box=two` makes of ticket types."""
    pairs = (pair.split("=") for pair in requests.split())
    zones = [ZoneRequest(zone, ticket_type_id) for zone, ticket_type_id in pairs]
    known = ticket_types or (ticket_type("one"), ticket_type("two"))
    return maps.seat(HALL, zones, {each.id: each for each in known})


@pytest.mark.parametrize(
    ("requests", "stock"),
    [
        ("Stalls=one Box=two", {"one": 8, "two": 4}),
        ("Stalls=one Box=one", {"one": 12}),
        ("Stalls=one Box=one Empty=two", {"one": 12, "two": 0}),
    ],
)
def test_stock_is_the_seats_of_all_zones_that_are_for_sale(
    requests: str, stock: dict[str, int]
) -> None:
    assert seat(requests) == stock


@pytest.mark.parametrize(
    ("requests", "refusal", "field"),
    [
        ("Stalls=one", ZoneWithoutTicketType, "zones"),
        ("Stalls=one Box=two Balcony=two", ZoneNotFound, "zones[2].zone"),
        ("Stalls=one Stalls=one Box=two", DuplicateZone, "zones[1].zone"),
        ("Stalls=one Box=three", TicketTypeNotFound, None),
    ],
)
def test_zones_and_ticket_types_must_fit_each_other(
    requests: str, refusal: type[TesseraError], field: str | None
) -> None:
    with pytest.raises(refusal) as refused:
        seat(requests)
    fields = [violation.field for violation in refused.value.violations]
    assert fields == ([field] if field else [])


def test_a_hall_without_seats_seats_nobody() -> None:
    with pytest.raises(HallWithoutSeats):
        maps.seat({"Empty": HALL["Empty"]}, [ZoneRequest("Empty", "one")], {})


@pytest.mark.parametrize(
    ("used", "is_refused"),
    [
        (ticket_type("one", 1), True),  # would get seats
        (ticket_type("other", 1, is_seated=True), True),  # would lose them
        (ticket_type("other", 1), False),
    ],
)
def test_tickets_that_are_out_keep_their_seats_or_have_none(
    used: TicketType, is_refused: bool
) -> None:
    known = {each.id: each for each in (ticket_type("one"), used)}
    if is_refused:
        with pytest.raises(TicketTypeInUse):
            seat("Stalls=one Box=one", *known.values())
    else:
        assert seat("Stalls=one Box=one", *known.values()) == {"one": 12}
