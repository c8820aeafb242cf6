"""What admins, banks and Stripe's dashboard do with money that was paid, and where it is after."""

from typing import Any

import stripe
from tessera.payment.v1 import (
    dispute_pb2,
    dispute_service_pb2,
    operation_pb2,
    operation_service_pb2,
    order_pb2,
    refund_pb2,
    refund_service_pb2,
)
from tessera.ticket.v1 import event_pb2

from tests.integration.payment_service.support import Shop, intent_id, opened_by
from tests.integration.ticket_service.support import eventually
from tests.support.tokens import Metadata


async def paid(
    shop: Shop,
    of: event_pb2.Event | None = None,
    *,
    quantity: int = 3,
    method: str = "pm_card_visa",
    **event_fields: Any,
) -> order_pb2.Order:
    """An order that is paid, with its token."""
    held = await shop.hold(of or await shop.event(**event_fields), quantity)
    order = await shop.order(held)
    if order.HasField("payment"):
        assert (await shop.pay(order, method)).status_code == 200
    await shop.becomes(order, "PAID")
    return order


async def refund(
    shop: Shop, order: order_pb2.Order, by: Metadata | None = None, **fields: Any
) -> refund_pb2.Refund:
    request = refund_service_pb2.CreateRefundRequest(order_id=order.id, **fields)
    return await shop.payments.refunds.CreateRefund(request, metadata=by or shop.admin)


async def refunds(
    shop: Shop, order: order_pb2.Order, by: Metadata | None = None
) -> list[refund_pb2.Refund]:
    request = refund_service_pb2.ListRefundsRequest(order_id=order.id)
    found = await shop.payments.refunds.ListRefunds(request, metadata=by or opened_by(order))
    return list(found.refunds)


async def refunds_of_organizer(
    shop: Shop, by: Metadata | None = None, **filters: Any
) -> refund_service_pb2.ListOrganizerRefundsResponse:
    """A page of the refunds of all orders, latest first."""
    request = refund_service_pb2.ListOrganizerRefundsRequest(**filters)
    return await shop.payments.refunds.ListOrganizerRefunds(request, metadata=by or shop.admin)


async def through(shop: Shop, order: order_pb2.Order, *states: str) -> list[refund_pb2.Refund]:
    """The order's refunds, once they are in these states, oldest first."""
    found: list[refund_pb2.Refund] = []

    async def look() -> bool:
        found[:] = await refunds(shop, order, shop.admin)
        return [state_of(each) for each in found] == list(states)

    try:
        await eventually(look, 30)
    except TimeoutError:
        raise AssertionError(found) from None
    return found


def state_of(refunded: refund_pb2.Refund) -> str:
    return refund_pb2.RefundState.Name(refunded.state).removeprefix("REFUND_STATE_")


async def at_stripe(shop: Shop, order: order_pb2.Order) -> list[stripe.Refund]:
    """What Stripe has given back of an order's first payment, latest first."""
    page = await shop.sandbox.stripe.v1.refunds.list_async(
        {"payment_intent": intent_id(order), "limit": 100}
    )
    return page.data


async def in_dashboard(shop: Shop, order: order_pb2.Order, minor: int) -> stripe.Refund:
    """Somebody gives money back in Stripe's dashboard."""
    return await shop.sandbox.stripe.v1.refunds.create_async(
        {"payment_intent": intent_id(order), "amount": minor}
    )


async def held_back(shop: Shop) -> None:
    """Wait until every call to Stripe has come in that is to be delayed."""

    async def none_is_to_come() -> bool:
        return not (await shop.sandbox.look("/faults"))["calls"]

    await eventually(none_is_to_come)


async def valid(shop: Shop, order: order_pb2.Order) -> list[int]:
    """The numbers of the order's tickets that are worth something."""
    issued = await shop.issued(order)
    return [ticket.number for ticket in issued if ticket.state == 1]


async def books(shop: Shop, order: order_pb2.Order) -> dict[str, int]:
    """How an order's accounts stand, without those that stand at zero, and the provider's fees."""
    query = """
        SELECT account, sum(amount_minor) AS minor
        FROM ledger_transactions booked JOIN ledger_entries ON transaction_id = booked.id
        WHERE order_id = :id AND kind <> 'PROVIDER_FEE'
        GROUP BY account HAVING sum(amount_minor) <> 0
    """
    rows = await shop.installation.execute("payment", query, id=order.id)
    return {row.account: int(row.minor) for row in rows}


async def booked(shop: Shop, order: order_pb2.Order) -> list[str]:
    """Why an order's money moved, oldest first."""
    query = "SELECT kind FROM ledger_transactions WHERE order_id = :id ORDER BY id"
    rows = await shop.installation.execute("payment", query, id=order.id)
    return [row.kind for row in rows if row.kind != "PROVIDER_FEE"]


# Disputes


async def disputes(
    shop: Shop, by: Metadata | None = None, **filters: Any
) -> list[dispute_pb2.Dispute]:
    request = dispute_service_pb2.ListDisputesRequest(**filters)
    return list(
        (await shop.payments.disputes.ListDisputes(request, metadata=by or shop.admin)).disputes
    )


async def get_dispute(shop: Shop, dispute_id: str, by: Metadata | None = None) -> Any:
    request = dispute_service_pb2.GetDisputeRequest(dispute_id=dispute_id)
    return await shop.payments.disputes.GetDispute(request, metadata=by or shop.admin)


async def dispute_is(shop: Shop, order: order_pb2.Order, state: str) -> dispute_pb2.Dispute:
    """The order's only dispute, once it is in a state and the tickets have followed."""
    found: list[dispute_pb2.Dispute] = []

    async def look() -> bool:
        found[:] = await disputes(shop, order_id=order.id)
        wanted = dispute_pb2.DisputeState.Value(f"DISPUTE_STATE_{state}")
        return [each.state for each in found] == [wanted] and await _followed(shop, order)

    await eventually(look, 30)
    return found[0]


async def _followed(shop: Shop, order: order_pb2.Order) -> bool:
    waiting = "SELECT 1 FROM disputes WHERE order_id = :id AND next_attempt_at IS NOT NULL"
    return not await shop.installation.execute("payment", waiting, id=order.id)


async def dispute(
    shop: Shop, order: order_pb2.Order, *, is_inquiry: bool = False, minor: int | None = None
) -> str:
    """The customer complains to their bank, about all or a part; answers what Stripe calls it."""
    opened = await shop.sandbox.ask(
        f"/payment_intents/{intent_id(order)}/dispute",
        reason="fraudulent",
        is_inquiry=is_inquiry,
        amount=minor,
    )
    return str(opened["id"])


async def decide(shop: Shop, provider_id: str, outcome: str) -> None:
    await shop.sandbox.ask(f"/disputes/{provider_id}/close", outcome=outcome)


# Background operations


async def operations(
    shop: Shop, by: Metadata | None = None, **filters: Any
) -> list[operation_pb2.Operation]:
    request = operation_service_pb2.ListOperationsRequest(**filters)
    found = await shop.payments.operations.ListOperations(request, metadata=by or shop.admin)
    return list(found.operations)


async def get_operation(
    shop: Shop, operation_id: str, by: Metadata | None = None
) -> operation_pb2.Operation:
    request = operation_service_pb2.GetOperationRequest(operation_id=operation_id)
    return await shop.payments.operations.GetOperation(request, metadata=by or shop.admin)


async def retry(shop: Shop, operation_id: str, key: str = "") -> operation_pb2.Operation:
    request = operation_service_pb2.RetryOperationRequest(
        operation_id=operation_id, idempotency_key=key
    )
    return await shop.payments.operations.RetryOperation(request, metadata=shop.admin)


async def finished(
    shop: Shop, of: event_pb2.Event, state: str = "SUCCEEDED", within_s: float = 60
) -> operation_pb2.Operation:
    """An event's latest operation, once it has ended so."""
    found: list[operation_pb2.Operation] = []

    async def look() -> bool:
        found[:] = await operations(shop, event_id=of.id)
        wanted = operation_pb2.OperationState.Value(f"OPERATION_STATE_{state}")
        return bool(found) and found[0].state == wanted

    try:
        await eventually(look, within_s)
    except TimeoutError:
        raise AssertionError(found) from None
    return found[0]
