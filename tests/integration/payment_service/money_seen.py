"""Orders and their money as payment_service, ticket_service and Stripe show them."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tessera.payment.v1 import order_pb2

from tests.integration.payment_service.money_model import Attempt, Order
from tests.integration.payment_service.support import Shop, intent_id, signature, state_of
from tests.integration.payment_service.till import refunds
from tests.integration.payment_service.till import state_of as refund_state_of

CONCERNING = {"payment_intent", "refund", "dispute"}


@dataclass(frozen=True, slots=True)
class Letter:
    """A webhook, which the test takes to payment_service whenever it likes."""

    event: Any

    @property
    def about(self) -> Any:
        return self.event["data"]["object"]

    async def take_to(self, shop: Shop) -> bool:
        """Sign it now and send it through the gateway; whether it was taken."""
        payload = json.dumps(self.event).encode()
        signed = signature(payload, shop.sandbox.keys.webhook_secret)
        headers = {"stripe-signature": signed, "content-type": "application/json"}
        http = shop.sandbox.http
        answer = await http.post(shop.webhooks_url, content=payload, headers=headers)
        assert answer.status_code in {200, 204, 409}, answer.text
        return answer.is_success


@dataclass
class Postman:
    """Collects what Stripe would send; nothing else gets there."""

    shop: Shop
    last: str = ""
    bag: list[Letter] = field(default_factory=list)
    known: list[Letter] = field(default_factory=list)  # which were taken, and may be again

    async def collect(self) -> None:
        """Put what is new into the bag, oldest first."""
        params = {"limit": "100", **({"ending_before": self.last} if self.last else {})}
        answer = await self.shop.sandbox.http.get(
            f"{self.shop.sandbox.url}/v1/events",
            params=params,
            headers={"Authorization": f"Bearer {self.shop.sandbox.keys.secret_key}"},
        )
        found = answer.raise_for_status().json()
        assert not found["has_more"], "a step does not make so many"
        if found["data"]:
            self.last = found["data"][0]["id"]
        letters = [Letter(event) for event in reversed(found["data"])]
        self.bag += [each for each in letters if each.about["object"] in CONCERNING]


@dataclass(frozen=True, slots=True)
class Sold:
    """An order of the model, and as its customer has it: an answer for each attempt."""

    model: Order
    order: order_pb2.Order = field(repr=False)
    payments: dict[Attempt, order_pb2.Order] = field(default_factory=dict, repr=False)


async def compare(shop: Shop, sold: Sold) -> None:
    """Nobody sees anything that the model does not say."""
    model = sold.model
    order, issued, returned, charged = await asyncio.gather(
        shop.get(sold.order),
        shop.issued(sold.order),
        refunds(shop, sold.order),
        asyncio.gather(*(net(shop, payment) for payment in sold.payments.values())),
    )
    seen = {
        "state": (state_of(order), order.cancel_reason),
        "tickets": {ticket.number for ticket in issued if ticket.state == 1},
        "blocked": any(ticket.is_blocked for ticket in issued if ticket.state == 1),
        "refunds": sorted(
            (refund_state_of(each), cents(each.amount.amount), list(each.ticket_numbers))
            for each in returned
        ),
        "net": charged,
    }
    said = {
        "state": (model.state, model.reason),
        "tickets": model.tickets,
        "blocked": model.is_blocked,
        "refunds": sorted(each.shown for each in model.refunds),
        "net": [each.net for each in model.attempts],
    }
    assert seen == said, f"{seen} and not {said}"


async def net(shop: Shop, payment: order_pb2.Order) -> int:
    """What Stripe has of a payment's money: charged, not returned, and not at the bank."""
    intent = await shop.intent(payment)
    if intent.status != "succeeded":
        return 0
    charge = await shop.charge(payment)
    disputes = await shop.sandbox.stripe.v1.disputes.list_async(
        {"payment_intent": intent_id(payment)}
    )
    gone = sum(each.amount for each in disputes.data if each.status != "won")
    return charge.amount_captured - charge.amount_refunded - gone


def cents(amount: str) -> int:
    return int(amount.replace(".", ""))
