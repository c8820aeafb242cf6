"""What may become of an entry of a waiting list, and who may have one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import TesseraError
from ticket_service.catalog.domain import Event, EventState
from ticket_service.stock.domain import Shelf, Stock
from ticket_service.waitlist import domain
from ticket_service.waitlist.domain import TRANSITIONS, WaitlistEntry, WaitlistState

NOW = datetime(2036, 5, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)

any_state = st.sampled_from(WaitlistState)


def an_event(state: EventState = EventState.PUBLISHED, ends_at: datetime = NOW + DAY) -> Event:
    return Event(
        id="evt_1",
        organizer_id="org_1",
        state=state,
        title="Hamlet",
        description="",
        location="",
        starts_at=ends_at - DAY,
        ends_at=ends_at,
        time_zone="UTC",
        currency_code="EUR",
        version=1,
        created_at=NOW,
        updated_at=NOW,
    )


def a_shelf(
    remaining: int = 0, quota: int | None = None, *, is_hidden: bool = False, **window: datetime
) -> Shelf:
    stock = Stock(
        ticket_type_id="tt_1",
        name="Stalls",
        price_minor=5000,
        remaining=remaining,
        max_per_order=10,
        sales_start=window.get("sales_start"),
        sales_end=window.get("sales_end"),
        is_hidden=is_hidden,
    )
    return Shelf([stock]) if quota is None else Shelf([stock], {"q": quota}, {"tt_1": ["q"]})


def an_entry(state: WaitlistState = WaitlistState.WAITING) -> WaitlistEntry:
    return WaitlistEntry(
        id="wle_1",
        event_id="evt_1",
        organizer_id="org_1",
        ticket_type_id="tt_1",
        quantity=2,
        state=state,
        email="grace@example.org",
        full_name="Grace Guest",
        hold_id=None,
        offer_expires_at=None,
        created_at=NOW,
        updated_at=NOW,
    )


def join(event: Event, shelf: Shelf, quantity: int = 1, ticket_type_id: str = "tt_1") -> None:
    domain.check_joinable(event, shelf, ticket_type_id, quantity, NOW)


def test_an_entry_waits_is_offered_tickets_and_has_them_or_not() -> None:
    assert WaitlistState.OFFERED in TRANSITIONS[WaitlistState.WAITING]
    assert TRANSITIONS[WaitlistState.OFFERED] == {
        WaitlistState.CONVERTED,
        WaitlistState.OFFER_EXPIRED,
        WaitlistState.CANCELLED,
    }


@given(any_state)
def test_nobody_comes_back_to_the_line(state: WaitlistState) -> None:
    assert WaitlistState.WAITING not in TRANSITIONS[state]


def test_what_is_bought_stays_bought() -> None:
    assert not TRANSITIONS[WaitlistState.CONVERTED]


def test_nobody_buys_what_they_were_not_offered() -> None:
    assert WaitlistState.CONVERTED not in TRANSITIONS[WaitlistState.WAITING]
    assert WaitlistState.OFFER_EXPIRED not in TRANSITIONS[WaitlistState.WAITING]


@given(any_state, any_state)
def test_the_sources_of_a_state_are_the_table_read_backwards(
    before: WaitlistState, after: WaitlistState
) -> None:
    assert (before in domain.sources(after)) == (after in TRANSITIONS[before])


@given(remaining=st.integers(0, 20), quota=st.integers(0, 20), quantity=st.integers(1, 10))
def test_one_waits_exactly_for_what_cannot_be_had(
    remaining: int, quota: int, quantity: int
) -> None:
    shelf = a_shelf(remaining, quota)
    if quantity <= min(remaining, quota):
        with pytest.raises(domain.NotSoldOut):
            join(an_event(), shelf, quantity)
    else:
        join(an_event(), shelf, quantity)


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        (lambda: join(an_event(EventState.DRAFT), a_shelf()), "EVENT_NOT_ON_SALE"),
        (lambda: join(an_event(EventState.CANCELLED), a_shelf()), "EVENT_NOT_ON_SALE"),
        (lambda: join(an_event(ends_at=NOW), a_shelf()), "EVENT_NOT_ON_SALE"),
        (lambda: join(an_event(), a_shelf(), 1, "tt_2"), "TICKET_TYPE_NOT_FOUND"),
        (lambda: join(an_event(), a_shelf(is_hidden=True)), "TICKET_TYPE_NOT_FOUND"),
        (lambda: join(an_event(), a_shelf(9, is_hidden=True)), "TICKET_TYPE_NOT_FOUND"),
        (lambda: join(an_event(), a_shelf(sales_start=NOW + DAY)), "SALES_NOT_STARTED"),
        (lambda: join(an_event(), a_shelf(sales_end=NOW)), "SALES_ENDED"),
        (lambda: join(an_event(), a_shelf(), 11), "TOO_MANY_TICKETS"),
    ],
    ids=range(9),
)
def test_what_nobody_could_buy_nobody_can_wait_for(
    attempt: Callable[[], None], reason: str
) -> None:
    with pytest.raises(TesseraError) as caught:
        attempt()
    assert caught.value.reason == reason


def test_an_anonymous_entry_says_nothing_about_its_customer() -> None:
    entry = an_entry()
    assert domain.anonymous(entry) == replace(entry, email="", full_name="")


@given(any_state)
def test_one_can_leave_until_the_tickets_are_theirs(state: WaitlistState) -> None:
    entry = an_entry(state)
    if state is WaitlistState.CONVERTED:
        with pytest.raises(domain.WaitlistEntryConverted):
            domain.left(entry)
    else:
        assert domain.left(entry) is entry
