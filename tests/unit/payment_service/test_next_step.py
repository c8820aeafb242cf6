"""What an order needs next, for every state it can be in: the table that settling follows."""

from itertools import product

import pytest

from payment_service.orders.domain import Fulfilment, OrderState
from payment_service.payments.domain import Payment, PaymentState
from payment_service.settling.domain import Next, Step, next_step
from tests.unit.payment_service.build import order, payment

UNDECIDED = ("", "requires_payment_method", "requires_confirmation", "requires_action")
STATUSES = (*UNDECIDED, "processing", "requires_capture", "succeeded", "canceled")
GIVEN_UP = ("EXPIRED", "CANCELLED")
CLOSED = ("SUCCEEDED", "FAILED", "CANCELLED")
BOTH = (False, True)
PAY_1, PAY_2 = "pay_1", "pay_2"


def step(
    state: str, fulfilment: str, status: str | None, *, overdue: bool = False, looked: bool = False
) -> Step:
    """`status` None: a free order."""
    payments = [] if status is None else [payment(status)]
    looked_at = {PAY_1} if looked else set[str]()
    sold = order(state, fulfilment, total_minor=0 if status is None else 10_000)
    return next_step(sold, payments, overdue=overdue, looked=looked_at).step


def of_two(
    state: str, fulfilment: str, first: Payment, second: Payment, *, overdue: bool = False
) -> tuple[Step, str]:
    found = next_step(order(state, fulfilment), [first, second], overdue=overdue)
    return found.step, found.payment.id if found.payment else ""


def second(status: str, state: str = "REQUIRES_ACTION", **fields: object) -> Payment:
    return payment(status, state, id=PAY_2, provider_id="pi_2", **fields)


@pytest.mark.parametrize(("overdue", "looked"), tuple(product(BOTH, BOTH)))
@pytest.mark.parametrize("status", ["requires_capture", "succeeded", None])
@pytest.mark.parametrize("fulfilment", ["NONE", "ISSUING"])
def test_tickets_are_issued_once_the_money_is_there(
    fulfilment: str, status: str | None, overdue: bool, looked: bool
) -> None:
    assert step("PENDING", fulfilment, status, overdue=overdue, looked=looked) is Step.ISSUE


@pytest.mark.parametrize(("overdue", "looked"), tuple(product(BOTH, BOTH)))
@pytest.mark.parametrize(
    ("status", "expected"),
    [("requires_capture", Step.CAPTURE), ("succeeded", Step.FINISH), (None, Step.FINISH)],
)
def test_money_is_taken_only_for_issued_tickets(
    status: str | None, expected: Step, overdue: bool, looked: bool
) -> None:
    assert step("PENDING", "ISSUED", status, overdue=overdue, looked=looked) is expected


@pytest.mark.parametrize(
    ("status", "expected"), [("requires_capture", Step.CAPTURE), ("succeeded", Step.FINISH)]
)
def test_tickets_that_were_issued_a_moment_ago_are_issued(status: str, expected: Step) -> None:
    found = next_step(order("PENDING", "ISSUING"), [payment(status)], overdue=False, issued=True)
    assert found.step is expected


@pytest.mark.parametrize("overdue", BOTH)
@pytest.mark.parametrize("fulfilment", ["NONE", "ISSUING", "ISSUED"])
def test_payment_that_stripe_cancelled_is_closed(fulfilment: str, overdue: bool) -> None:
    assert step("PENDING", fulfilment, "canceled", overdue=overdue) is Step.CLOSE


@pytest.mark.parametrize("fulfilment", ["NONE", "ISSUING", "ISSUED"])
def test_order_whose_payment_failed_waits_for_another_until_its_deadline(fulfilment: str) -> None:
    """Whatever tickets it may have are kept for that, and taken back afterwards."""
    failed = [payment("canceled", "FAILED")]
    waiting = order("PENDING", fulfilment)
    assert next_step(waiting, failed, overdue=False) == Next(Step.NOTHING)
    assert next_step(waiting, failed, overdue=True) == Next(Step.EXPIRE)
    authorised = [*failed, second("requires_capture", "AUTHORIZED")]
    found = next_step(waiting, authorised, overdue=False)
    assert found.step is (Step.CAPTURE if fulfilment == "ISSUED" else Step.ISSUE)


@pytest.mark.parametrize("looked", BOTH)
@pytest.mark.parametrize("status", [*UNDECIDED, "processing"])
def test_customer_has_until_the_deadline(status: str, looked: bool) -> None:
    assert step("PENDING", "NONE", status, looked=looked) is Step.NOTHING


def test_payment_that_stripe_does_not_know_of_yet_is_prepared_in_time() -> None:
    unknown = payment(provider_id=None)
    assert next_step(order("PENDING"), [unknown], overdue=False).step is Step.PREPARE
    assert next_step(order("PENDING"), [unknown], overdue=True).step is Step.EXPIRE


@pytest.mark.parametrize("status", [*UNDECIDED, "processing"])
def test_stripe_is_asked_before_an_overdue_order_is_given_up(status: str) -> None:
    assert step("PENDING", "NONE", status, overdue=True) is Step.LOOK


@pytest.mark.parametrize("status", UNDECIDED)
def test_overdue_order_expires_if_stripe_knows_no_better(status: str) -> None:
    assert step("PENDING", "NONE", status, overdue=True, looked=True) is Step.EXPIRE


def test_overdue_order_waits_for_a_bank_that_is_at_it() -> None:
    assert step("PENDING", "NONE", "processing", overdue=True, looked=True) is Step.NOTHING


def test_every_attempt_is_asked_about_before_an_overdue_order_is_given_up() -> None:
    payments = [payment("requires_action"), second("requires_action")]
    for looked, expected in ((set[str](), PAY_1), ({PAY_1}, PAY_2)):
        found = next_step(order("PENDING"), payments, overdue=True, looked=looked)
        assert (found.step, found.payment and found.payment.id) == (Step.LOOK, expected)
    found = next_step(order("PENDING"), payments, overdue=True, looked={PAY_1, PAY_2})
    assert found == Next(Step.EXPIRE)


@pytest.mark.parametrize(
    ("first", "other", "taken"),
    [
        ("requires_action", "requires_capture", PAY_2),
        ("requires_capture", "requires_capture", PAY_1),
        ("requires_capture", "succeeded", PAY_2),  # to void the other costs nobody anything
        ("succeeded", "succeeded", PAY_1),
        ("canceled", "succeeded", PAY_2),
    ],
)
def test_first_payment_with_money_takes_the_order_one_that_is_charged_rather(
    first: str, other: str, taken: str
) -> None:
    found = of_two("PENDING", "ISSUING", payment(first, "AUTHORIZED"), second(other, "AUTHORIZED"))
    assert found == (Step.ISSUE, taken)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Step.VOID) for status in UNDECIDED),
        ("requires_capture", Step.VOID),
        ("processing", Step.LOOK),
        ("succeeded", Step.REFUND),
        ("canceled", Step.CLOSE),
    ],
)
@pytest.mark.parametrize("state", ["PAID", *GIVEN_UP])
def test_payment_that_the_order_does_not_keep_is_voided_or_given_back(
    state: str, status: str, expected: Step
) -> None:
    kept = payment("succeeded", "SUCCEEDED", fee_booked=True)
    fulfilment = "ISSUED" if state == "PAID" else "TAKEN_BACK"
    assert of_two(state, fulfilment, kept, second(status)) == (expected, PAY_2)


@pytest.mark.parametrize("status", [*STATUSES, None])
@pytest.mark.parametrize("fulfilment", ["ISSUING", "ISSUED"])
@pytest.mark.parametrize("state", GIVEN_UP)
def test_order_that_was_given_up_keeps_no_tickets(
    state: str, fulfilment: str, status: str | None
) -> None:
    assert step(state, fulfilment, status) is Step.TAKE_BACK


def test_tickets_of_an_order_that_was_paid_are_taken_back_by_its_refund() -> None:
    cancelled = order("CANCELLED", "ISSUED", paid_at=order("PAID").paid_at)
    kept = payment("succeeded", "SUCCEEDED", fee_booked=True)
    assert next_step(cancelled, [kept], overdue=True) == Next(Step.NOTHING)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Step.VOID) for status in UNDECIDED),
        ("requires_capture", Step.VOID),
        ("processing", Step.LOOK),
        ("succeeded", Step.REFUND),
        ("canceled", Step.CLOSE),
        (None, Step.NOTHING),
    ],
)
@pytest.mark.parametrize("fulfilment", ["NONE", "TAKEN_BACK"])
@pytest.mark.parametrize("state", GIVEN_UP)
def test_order_that_was_given_up_keeps_no_money(
    state: str, fulfilment: str, status: str | None, expected: Step
) -> None:
    assert step(state, fulfilment, status) is expected


@pytest.mark.parametrize("state", GIVEN_UP)
def test_payment_that_is_under_way_is_waited_for_before_it_is_given_back(state: str) -> None:
    assert step(state, "NONE", "processing", looked=True) is Step.NOTHING


def test_payment_that_is_under_way_keeps_no_other_from_being_voided() -> None:
    slow = payment("processing", "REQUIRES_ACTION")
    found = next_step(
        order("CANCELLED"), [slow, second("requires_action")], overdue=True, looked={PAY_1}
    )
    assert (found.step, found.payment and found.payment.id) == (Step.VOID, PAY_2)


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    ("state", "fulfilment"),
    [("EXPIRED", "NONE"), ("EXPIRED", "TAKEN_BACK"), ("CANCELLED", "NONE"), ("PAID", "ISSUED")],
)
def test_what_is_closed_needs_nothing(
    state: str, fulfilment: str, status: str, closed: str
) -> None:
    ended = payment(status, closed, fee_booked=True)
    assert next_step(order(state, fulfilment), [ended], overdue=True) == Next(Step.NOTHING)


@pytest.mark.parametrize("state", ["PAID", *GIVEN_UP])
def test_fee_of_a_charge_is_asked_for_until_it_is_known(state: str) -> None:
    charged = payment("succeeded", "SUCCEEDED")
    fulfilment = "ISSUED" if state == "PAID" else "NONE"
    assert next_step(order(state, fulfilment), [charged], overdue=True).step is Step.FEE
    found = next_step(order(state, fulfilment), [charged], overdue=True, looked={PAY_1})
    assert found == Next(Step.NOTHING)


def test_free_order_that_is_paid_needs_nothing() -> None:
    assert step("PAID", "ISSUED", None) is Step.NOTHING


def test_money_moves_only_in_states_that_allow_it() -> None:
    """Over everything an order can be: captured with tickets only, given back without only."""
    for state, fulfilment, paid, status, overdue, looked in product(
        OrderState, Fulfilment, PaymentState, STATUSES, BOTH, BOTH
    ):
        sold = order(state, fulfilment)
        found = next_step(
            sold, [payment(status, paid)], overdue=overdue, looked={PAY_1} if looked else ()
        ).step
        if found in (Step.CAPTURE, Step.FINISH):
            assert (state, fulfilment) == ("PENDING", "ISSUED")
        if found in (Step.VOID, Step.REFUND):
            assert state != "PENDING"
            assert fulfilment in ("NONE", "TAKEN_BACK") or state == "PAID"
        if found is Step.EXPIRE:
            assert overdue
            assert status in (*UNDECIDED, "canceled") or paid in CLOSED
        if found is Step.TAKE_BACK:
            assert sold.paid_at is None


@pytest.mark.parametrize("status", ["requires_capture", "succeeded"])
@pytest.mark.parametrize("state", GIVEN_UP)
def test_money_that_is_left_over_goes_back_before_the_rest_is_cancelled(
    state: str, status: str
) -> None:
    expected = Step.VOID if status == "requires_capture" else Step.REFUND
    found = of_two(state, "NONE", payment("requires_action"), second(status, "AUTHORIZED"))
    assert found == (expected, PAY_2)


@pytest.mark.parametrize(
    ("todo", "can_wait"),
    [
        (Next(Step.LOOK, payment("requires_action", "REQUIRES_ACTION")), True),
        (Next(Step.VOID, payment("requires_payment_method", "REQUIRES_ACTION")), True),
        (Next(Step.VOID, payment("requires_capture", "AUTHORIZED")), False),
        (Next(Step.VOID, payment(provider_id=None)), False),  # of which Stripe is not asked
        (Next(Step.CAPTURE, payment("requires_capture", "AUTHORIZED")), False),
        (Next(Step.CLOSE, payment("canceled", "REQUIRES_ACTION")), False),
        (Next(Step.EXPIRE), False),
    ],
)
def test_asking_stripe_about_a_payment_without_money_can_wait_and_nothing_else(
    todo: Next, can_wait: bool
) -> None:
    assert todo.can_wait is can_wait
