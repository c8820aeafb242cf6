"""What a dispute is, and what follows from it for the tickets.

An inquiry (`warning_…` in Stripe's words) only asks: it moves no money and may be refunded. It is
none of these until the bank makes it one. https://docs.stripe.com/disputes/how-disputes-work
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kit.errors import NotFound
from payment_service.orders.domain import ForbiddenTransition, OrderState


class DisputeNotFound(NotFound):
    """There is no such dispute."""


class DisputeState(StrEnum):
    """Where a dispute is in its life."""

    OPEN = "OPEN"
    WON = "WON"
    LOST = "LOST"


# What was lost is won after all where an appeal succeeds, or the customer withdraws the dispute.
TRANSITIONS: Mapping[DisputeState, frozenset[DisputeState]] = {
    DisputeState.OPEN: frozenset({DisputeState.WON, DisputeState.LOST}),
    DisputeState.LOST: frozenset({DisputeState.WON}),
    DisputeState.WON: frozenset(),
}

# https://docs.stripe.com/api/disputes/object#dispute_object-status. None: no money has moved.
_STATES: Mapping[str, DisputeState | None] = {
    "warning_needs_response": None,
    "warning_under_review": None,
    "warning_closed": None,
    "needs_response": DisputeState.OPEN,
    "under_review": DisputeState.OPEN,
    "won": DisputeState.WON,
    "lost": DisputeState.LOST,
}


@dataclass(frozen=True, slots=True)
class Dispute:
    """Some of a payment that a bank has taken back, in minor units."""

    id: str
    provider_id: str
    payment_id: str
    order_id: str
    event_id: str
    organizer_id: str
    state: DisputeState
    currency_code: str
    amount_minor: int
    reason: str
    opened_at: datetime
    evidence_due_at: datetime | None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DisputeReport:
    """What Stripe says of a dispute. Fees are in the currency that Stripe pays out in."""

    provider_id: str
    payment_provider_id: str  # the PaymentIntent's
    status: str
    currency_code: str
    amount_minor: int
    reason: str
    opened_at: datetime
    evidence_due_at: datetime | None
    is_withdrawn: bool = False  # the money, at some time
    fee_minor: int = 0
    fee_returned_minor: int = 0
    fee_currency_code: str = ""


def state_of(report: DisputeReport) -> DisputeState | None:
    """What Stripe's word means; None: there is no dispute (yet). An unknown word is an open one."""
    if report.status == "prevented":  # settled before it became one, some with the money gone
        return DisputeState.LOST if report.is_withdrawn else None
    return _STATES.get(report.status, DisputeState.OPEN)


def observe(dispute: Dispute, state: DisputeState) -> DisputeState:
    """The dispute's state after a report, however late it comes: only ever forwards."""
    return state if state in TRANSITIONS[dispute.state] else dispute.state


def move(dispute: Dispute, state: DisputeState) -> DisputeState:
    """The state, if the dispute may take it."""
    if state not in TRANSITIONS[dispute.state]:
        raise ForbiddenTransition(f"dispute {dispute.id}: {dispute.state} → {state}")
    return state


class Fate(StrEnum):
    """What is to be done with the tickets of a disputed order."""

    WAIT = "WAIT"  # there may be none yet
    BLOCK = "BLOCK"
    ADMIT = "ADMIT"
    CANCEL = "CANCEL"
    NOTHING = "NOTHING"  # there are none any more


def fate(order: OrderState, states: Collection[DisputeState]) -> Fate:
    """What the disputes about the payment that an order keeps mean for its tickets, all together.

    A charge that the order does not keep paid for no tickets.
    """
    if order is OrderState.PENDING:
        return Fate.WAIT
    if DisputeState.LOST in states:
        return Fate.CANCEL
    if order is not OrderState.PAID:
        return Fate.NOTHING
    return Fate.BLOCK if DisputeState.OPEN in states else Fate.ADMIT
