"""What Stripe's words about a dispute mean, and what follows for the tickets."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.disputes import domain
from payment_service.disputes.domain import (
    TRANSITIONS,
    Dispute,
    DisputeReport,
    DisputeState,
    Fate,
    fate,
    state_of,
)
from payment_service.orders.domain import ForbiddenTransition, OrderState
from tests.unit.payment_service.build import NOON


def report(status: str, **fields: Any) -> DisputeReport:
    values: dict[str, Any] = {
        "provider_id": "du_1",
        "payment_provider_id": "pi_1",
        "currency_code": "EUR",
        "amount_minor": 5_000,
        "reason": "fraudulent",
        "opened_at": NOON,
        "evidence_due_at": None,
        **fields,
    }
    return DisputeReport(status=status, **values)


def dispute(state: str = "OPEN") -> Dispute:
    return Dispute(
        id="dsp_1",
        provider_id="du_1",
        payment_id="pay_1",
        order_id="ord_1",
        event_id="evt_1",
        organizer_id="org_1",
        state=DisputeState(state),
        currency_code="EUR",
        amount_minor=5_000,
        reason="fraudulent",
        opened_at=NOON,
        evidence_due_at=None,
    )


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("warning_needs_response", None),
        ("warning_under_review", None),
        ("warning_closed", None),
        ("needs_response", "OPEN"),
        ("under_review", "OPEN"),
        ("appeal_needs_response", "OPEN"),
        ("won", "WON"),
        ("lost", "LOST"),
    ],
)
def test_inquiry_is_no_dispute_until_the_bank_makes_it_one(status: str, state: str | None) -> None:
    assert state_of(report(status)) == state


@pytest.mark.parametrize(("is_withdrawn", "state"), [(True, "LOST"), (False, None)])
def test_dispute_that_was_prevented_is_lost_if_the_money_is_gone(
    is_withdrawn: bool, state: str | None
) -> None:
    assert state_of(report("prevented", is_withdrawn=is_withdrawn)) == state


MOVES = {("OPEN", "WON"), ("OPEN", "LOST"), ("LOST", "WON")}


@pytest.mark.parametrize("before", DisputeState)
@pytest.mark.parametrize("after", DisputeState)
def test_dispute_makes_only_the_moves_of_its_table(
    before: DisputeState, after: DisputeState
) -> None:
    if (before, after) in MOVES:
        assert domain.move(dispute(before), after) is after
    else:
        with pytest.raises(ForbiddenTransition):
            domain.move(dispute(before), after)
    assert set(TRANSITIONS) == set(DisputeState)


HISTORIES = [["OPEN"], ["OPEN", "WON"], ["OPEN", "LOST"], ["OPEN", "LOST", "WON"]]


@given(st.sampled_from(HISTORIES), st.data())
def test_reports_end_the_same_however_often_and_in_whatever_order_they_come(
    history: list[str], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(history), max_size=4))
    ended = dispute()
    for state in data.draw(st.permutations(history + again)):
        ended = replace(ended, state=domain.observe(ended, DisputeState(state)))
    assert ended.state == history[-1]


@pytest.mark.parametrize(
    ("order", "states", "expected"),
    [
        ("PAID", ["OPEN"], Fate.BLOCK),
        ("PAID", ["WON"], Fate.ADMIT),
        ("PAID", ["WON", "OPEN"], Fate.BLOCK),
        ("PAID", ["WON", "WON"], Fate.ADMIT),
        ("PAID", ["LOST"], Fate.CANCEL),
        ("CANCELLED", ["LOST", "OPEN"], Fate.CANCEL),
        ("CANCELLED", ["OPEN"], Fate.NOTHING),
        ("CANCELLED", ["WON"], Fate.NOTHING),
        ("PENDING", ["OPEN"], Fate.WAIT),
        ("PENDING", ["LOST"], Fate.WAIT),
        ("EXPIRED", ["OPEN"], Fate.NOTHING),
    ],
)
def test_tickets_follow_all_disputes_of_their_order(
    order: str, states: list[str], expected: Fate
) -> None:
    assert fate(OrderState(order), [DisputeState(state) for state in states]) is expected


def test_nobody_is_let_in_while_any_dispute_is_open() -> None:
    for order, states in product(OrderState, product(DisputeState, repeat=2)):
        if DisputeState.OPEN in states or DisputeState.LOST in states:
            assert fate(order, states) is not Fate.ADMIT
