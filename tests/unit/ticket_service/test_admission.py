"""Who is let in, and why somebody is not."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ticket_service.admission.domain import Rejection, Ticket, TicketState, judge

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


@given(
    state=st.sampled_from(TicketState),
    admitted_at=st.sampled_from([None, NOW]),
    event_id=st.sampled_from(["", "evt", "other"]),
    event_is_cancelled=st.booleans(),
)
def test_only_a_good_ticket_gets_in_and_once(
    state: TicketState, admitted_at: datetime | None, event_id: str, event_is_cancelled: bool
) -> None:
    ticket = replace(TICKET, state=state, admitted_at=admitted_at)
    is_good = state is TicketState.ISSUED and event_id != "other" and not event_is_cancelled
    is_accepted = judge(ticket, event_id=event_id, event_is_cancelled=event_is_cancelled) is None
    assert is_accepted == (is_good and admitted_at is None)
