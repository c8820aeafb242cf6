"""A changed event is told to everybody who has paid for it."""

import json

import pytest
from google.protobuf import json_format
from tessera.payment.v1 import messages_pb2, operation_pb2
from tessera.ticket.v1 import event_pb2, event_service_pb2
from tessera.ticket.v1 import messages_pb2 as ticket_messages

from kit.broker import Message, Unprocessable
from payment_service.bulk.consumers import take_event_cancelled, take_event_updated
from tests.integration.payment_service.support import Shop
from tests.integration.payment_service.till import finished, operations, paid
from tests.integration.ticket_service.support import eventually, patch


async def rename(shop: Shop, of: event_pb2.Event, title: str) -> event_pb2.Event:
    change = patch(event_service_pb2.UpdateEventRequest, event_id=of.id, title=title)
    return await shop.tickets.events.UpdateEvent(change, metadata=shop.admin)


async def test_everybody_who_has_paid_is_told_what_it_was_before(shop: Shop) -> None:
    event = await shop.event(stock=30)
    orders = [await paid(shop, event, quantity=1) for _ in range(3)]
    waiting = await shop.order(await shop.hold(event))
    changed = await rename(shop, event, "Another title")
    done = await finished(shop, event)
    assert done.kind == operation_pb2.OPERATION_KIND_ANNOUNCE_CHANGE
    assert (done.total, done.done, done.failed) == (3, 3, 0)
    await shop.settled()
    for order in orders:
        (told,) = shop.announced.that(messages_pb2.OrderEventUpdated, order.id)
        assert (told.previous_title, told.event_version) == (event.title, changed.version)
        assert not told.HasField("previous_starts_at")
        assert told.previous_location == ""
    assert shop.announced.that(messages_pb2.OrderEventUpdated, waiting.id) == []


async def test_every_change_is_told_once_however_often_its_message_comes(shop: Shop) -> None:
    event = await shop.event()
    order = await paid(shop, event, quantity=1)
    changed = ticket_messages.EventUpdated(
        event_id=event.id, organizer_id=shop.organizer_id, version=7, previous_location="The Barn"
    )
    changed.previous_starts_at.FromJsonString("2027-01-02T03:04:05.678Z")
    message = sent("tessera.ticket.v1.EventUpdated", json_format.MessageToJson(changed).encode())
    take = take_event_updated(shop.installation.database("payment"))
    for _ in range(3):
        await take(message)
    await finished(shop, event)

    async def is_told() -> bool:
        return bool(shop.announced.that(messages_pb2.OrderEventUpdated, order.id))

    await eventually(is_told)
    await shop.settled()
    (told,) = shop.announced.that(messages_pb2.OrderEventUpdated, order.id)
    assert (told.event_version, told.previous_location) == (7, "The Barn")
    assert told.previous_starts_at.ToJsonString() == "2027-01-02T03:04:05.678Z"
    assert len(await operations(shop, event_id=event.id)) == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b"{}", json.dumps({"event_id": "evt_1\0"}).encode()]
)
async def test_message_that_nobody_understands_goes_to_the_dead_letters(
    shop: Shop, body: bytes
) -> None:
    database = shop.installation.database("payment")
    for take in (take_event_cancelled(database), take_event_updated(database)):
        with pytest.raises(Unprocessable):
            await take(sent("tessera.ticket.v1.EventCancelled", body))


def sent(kind: str, body: bytes) -> Message:
    return Message(id=f"msg_{hash(body)}", routing_key="", type=kind, body=body)
