"""Who is let in, and why somebody is not; which tickets are cancelled, changed and given on."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticket_service.admission.domain import (
    MAX_TRANSFERS,
    TRANSITIONS,
    Rejection,
    Ticket,
    TicketAdmitted,
    TicketGivenAway,
    TicketNotFound,
    TicketNotValid,
    TicketState,
    cancellable,
    changeable,
    judge,
    succeed,
)

NOW = datetime(2026, 11, 20, 19, 30, tzinfo=UTC)
TICKET = Ticket(
    id="tkt",
    code="CODE",
    state=TicketState.ISSUED,
    event_id="evt",
    organizer_id="org",
    ticket_type_id="tt",
    ticket_type_name="Seat",
    hold_id="hold",
    order_id="ord",
    number=1,
    transfers=0,
    holder_name="Ada",
    holder_email="",
    is_blocked=False,
    seat=None,
    issued_at=NOW,
    admitted_at=None,
)


def test_a_ticket_for_this_event_or_any_is_accepted() -> None:
    assert judge(TICKET, event_id="evt", event_is_cancelled=False) is None
    assert judge(TICKET, event_id="", event_is_cancelled=False) is None


def test_each_refusal_has_its_reason() -> None:
    cancelled = replace(TICKET, state=TicketState.CANCELLED)
    admitted = replace(TICKET, admitted_at=NOW)
    assert judge(None, event_id="", event_is_cancelled=False) is Rejection.UNKNOWN_TICKET
    assert judge(TICKET, event_id="x", event_is_cancelled=False) is Rejection.WRONG_EVENT
    assert judge(cancelled, event_id="", event_is_cancelled=False) is Rejection.TICKET_CANCELLED
    assert judge(TICKET, event_id="", event_is_cancelled=True) is Rejection.EVENT_CANCELLED
    assert judge(admitted, event_id="", event_is_cancelled=False) is Rejection.ALREADY_ADMITTED
    given_on = replace(TICKET, state=TicketState.TRANSFERRED)
    blocked = replace(TICKET, is_blocked=True)
    assert judge(given_on, event_id="", event_is_cancelled=False) is Rejection.TICKET_TRANSFERRED
    assert judge(blocked, event_id="", event_is_cancelled=False) is Rejection.TICKET_BLOCKED


@given(
    state=st.sampled_from(TicketState),
    is_blocked=st.booleans(),
    admitted_at=st.sampled_from([None, NOW]),
    event_id=st.sampled_from(["", "evt", "other"]),
    event_is_cancelled=st.booleans(),
)
def test_only_a_good_ticket_gets_in_and_once(
    state: TicketState,
    is_blocked: bool,
    admitted_at: datetime | None,
    event_id: str,
    event_is_cancelled: bool,
) -> None:
    ticket = replace(TICKET, state=state, is_blocked=is_blocked, admitted_at=admitted_at)
    is_for_here = event_id != "other" and not event_is_cancelled
    is_good = state is TicketState.ISSUED and is_for_here and not is_blocked
    is_accepted = judge(ticket, event_id=event_id, event_is_cancelled=event_is_cancelled) is None
    assert is_accepted == (is_good and admitted_at is None)


TICKETS = [
    replace(TICKET, number=number, transfers=transfers, state=state)
    for number, transfers, state in (
        (1, 0, TicketState.TRANSFERRED),
        (1, 1, TicketState.TRANSFERRED),
        (1, 2, TicketState.ISSUED),
        (2, 0, TicketState.CANCELLED),
        (3, 0, TicketState.ISSUED),
    )
]


@pytest.mark.parametrize(
    ("numbers", "cancelled"),
    [((), [1, 3]), ((1,), [1]), ((1, 2), [1]), ((2,), []), ((3, 1), [1, 3]), ((9,), [])],
)
def test_of_the_tickets_named_those_are_cancelled_that_somebody_has(
    numbers: tuple[int, ...], cancelled: list[int]
) -> None:
    found = cancellable(TICKETS, numbers)
    assert [ticket.number for ticket in found] == cancelled
    assert all(ticket.state is TicketState.ISSUED for ticket in found)


def test_tickets_that_were_used_are_spared_only_if_asked_for() -> None:
    used = replace(TICKET, number=4, admitted_at=NOW)
    assert cancellable([*TICKETS, used], (3, 4)) == [TICKETS[-1], used]
    assert cancellable([*TICKETS, used], (3, 4), spare_admitted=True) == [TICKETS[-1]]


def test_nothing_becomes_of_a_ticket_that_is_cancelled_or_anothers() -> None:
    assert TRANSITIONS.keys() == set(TicketState)
    assert [state for state, following in TRANSITIONS.items() if following] == [TicketState.ISSUED]


@pytest.mark.parametrize(
    ("ticket", "refusal"),
    [
        (None, TicketNotFound),
        (replace(TICKET, state=TicketState.CANCELLED), TicketNotValid),
        (replace(TICKET, state=TicketState.TRANSFERRED), TicketNotValid),
        (replace(TICKET, is_blocked=True), TicketNotValid),
        (replace(TICKET, is_blocked=True, admitted_at=NOW), TicketNotValid),
        (replace(TICKET, admitted_at=NOW), TicketAdmitted),
    ],
)
def test_a_ticket_with_which_nobody_would_be_let_in_stays_as_it_is(
    ticket: Ticket | None, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        changeable(ticket, event_is_cancelled=False, by_organizer=True)
    assert changeable(TICKET, event_is_cancelled=False, by_organizer=False) is TICKET
    with pytest.raises(TicketNotValid, match="called off"):
        changeable(TICKET, event_is_cancelled=True, by_organizer=True)


def test_a_ticket_that_was_given_away_is_changed_by_the_organizer_only() -> None:
    given = replace(TICKET, holder_email="bob@example.org")
    with pytest.raises(TicketGivenAway):
        changeable(given, event_is_cancelled=False, by_organizer=False)
    assert changeable(given, event_is_cancelled=False, by_organizer=True) is given


def test_a_successor_is_the_same_ticket_for_somebody_else() -> None:
    blocked = replace(TICKET, is_blocked=True)
    assert succeed(blocked, "next", "NEW", "Grace", "g@h.org") == replace(
        blocked, id="next", code="NEW", transfers=1, holder_name="Grace", holder_email="g@h.org"
    )


def test_a_ticket_is_not_given_on_for_ever() -> None:
    ticket = TICKET
    for number in range(MAX_TRANSFERS):
        ticket = succeed(ticket, f"tkt_{number}", f"CODE{number}", "Grace", "g@h.org")
    with pytest.raises(TicketNotValid, match="too often"):
        succeed(ticket, "tkt", "CODE", "Grace", "g@h.org")
