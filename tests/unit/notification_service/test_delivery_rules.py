"""When a mail is tried again, when it is given up, and which of them are the same mail."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_service.mailing.domain import (
    GIVE_UP_AFTER,
    LONGEST_OUTAGE_DELAY,
    Failure,
    retry_delay,
)
from notification_service.notifications.domain import (
    Kind,
    Notification,
    NotificationPending,
    State,
    check_resendable,
)

REFUSED_FOR_NOW = Failure("450", can_retry=True)
REFUSED_FOR_GOOD = Failure("550", can_retry=False)
DOWN = Failure("refused", can_retry=True, server_is_down=True)
NO_TIME = timedelta()

ages = st.timedeltas(NO_TIME, GIVE_UP_AFTER - timedelta(seconds=1))
attempts = st.integers(1, 10_000)


def a_notification(state: State = State.SENT, resends: int = 0) -> Notification:
    created_at = datetime(2036, 9, 1, 12, 0, tzinfo=UTC)
    return Notification(
        id="ntf_1",
        organizer_id="org_1",
        event_id="evt_1",
        order_id="ord_1",
        waitlist_entry_id="",
        subject_id="",
        details={},
        kind=Kind.RECEIPT,
        state=state,
        recipient="",
        subject="",
        attempts=0,
        resends=resends,
        last_error="",
        created_at=created_at,
        queued_at=created_at,
        next_attempt_at=None,
        sent_at=None,
    )


def test_the_first_retry_comes_after_a_second() -> None:
    assert retry_delay(REFUSED_FOR_NOW, 1, NO_TIME) == timedelta(seconds=1)


@given(attempts, ages)
def test_delays_grow_to_an_hour_and_stay_there(tried: int, age: timedelta) -> None:
    delay = retry_delay(REFUSED_FOR_NOW, tried, age)
    after = retry_delay(REFUSED_FOR_NOW, tried + 1, age)

    assert delay is not None
    assert after is not None
    assert delay <= after <= timedelta(hours=1)


@given(attempts, ages)
def test_while_the_server_is_down_no_mail_waits_long(tried: int, age: timedelta) -> None:
    delay = retry_delay(DOWN, tried, age)

    assert delay is not None
    assert timedelta(seconds=1) <= delay <= LONGEST_OUTAGE_DELAY


@given(attempts, ages)
def test_what_was_refused_for_good_is_never_tried_again(tried: int, age: timedelta) -> None:
    assert retry_delay(REFUSED_FOR_GOOD, tried, age) is None


@pytest.mark.parametrize("failure", [REFUSED_FOR_NOW, DOWN])
def test_after_three_days_a_mail_is_given_up(failure: Failure) -> None:
    assert retry_delay(failure, 80, timedelta(days=3)) is None


@pytest.mark.parametrize("state", [State.SENT, State.DEAD])
def test_what_was_sent_or_given_up_can_be_sent_again(state: State) -> None:
    check_resendable(a_notification(state))


def test_what_is_on_its_way_cannot_be_sent_again() -> None:
    with pytest.raises(NotificationPending):
        check_resendable(a_notification(State.PENDING))


def test_what_somebody_waits_for_goes_first_and_what_may_be_for_everybody_last() -> None:
    priority = {kind: kind.priority for kind in Kind}

    assert priority[Kind.ORDER_LOOKUP] < priority[Kind.RECEIPT]
    assert priority[Kind.RECEIPT] == priority[Kind.WAITLIST_OFFER] == priority[Kind.PAYMENT_FAILED]
    for bulk in (Kind.EVENT_CANCELLED, Kind.EVENT_CHANGED, Kind.REFUND, Kind.ORDER_CANCELLED):
        assert priority[bulk] > priority[Kind.RECEIPT]


def test_retries_are_the_same_mail_and_resends_are_not() -> None:
    first = a_notification()
    retried = replace(first, attempts=7)
    resent = [a_notification(resends=resends) for resends in (1, 2)]

    assert retried.mail_id == first.mail_id == "ntf_1"
    assert len({first.mail_id, *(each.mail_id for each in resent)}) == 3
