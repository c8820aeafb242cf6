"""Events keep what happened."""

import pytest
import stripe

from tests.integration.stripe_sandbox.support import Sandbox


async def test_event_keeps_the_object_as_it_was(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    events = (await sandbox.stripe.v1.events.list_async({"type": "payment_intent.*"})).data
    assert [event.type for event in events] == [
        "payment_intent.succeeded",
        "payment_intent.created",
    ]
    created = await sandbox.stripe.v1.events.retrieve_async(events[1].id)
    assert created.data.object["id"] == intent.id
    assert created.data.object["status"] == "requires_payment_method"
    assert created.api_version == stripe.api_version


async def test_event_says_what_changed(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id, "amount": 100})
    (event,) = (await sandbox.stripe.v1.events.list_async({"type": "charge.refunded"})).data
    assert event.data.to_dict()["previous_attributes"] == {"amount_refunded": 0}


async def test_event_names_the_request_that_caused_it(sandbox: Sandbox) -> None:
    intent = await sandbox.stripe.v1.payment_intents.create_async(
        {"amount": 900, "currency": "eur"}, {"idempotency_key": "attempt-1"}
    )
    (event,) = (await sandbox.stripe.v1.events.list_async()).data
    assert event.request is not None
    assert event.request.idempotency_key == "attempt-1"
    assert intent.last_response is not None
    assert event.request.id == intent.last_response.request_id


async def test_several_types_can_be_asked_for(sandbox: Sandbox) -> None:
    await sandbox.authorized()
    types = ["charge.succeeded", "payment_intent.created"]
    events = (await sandbox.stripe.v1.events.list_async({"types": types})).data
    assert [event.type for event in events] == types


async def test_unknown_event_is_404(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.stripe.v1.events.retrieve_async("evt_none")
    assert refusal.value.http_status == 404
