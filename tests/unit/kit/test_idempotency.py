"""What makes two requests the same."""

from tessera.ticket.v1 import event_service_pb2 as events
from tessera.ticket.v1 import hold_service_pb2 as holds

from kit.idempotency import fingerprint


def request(**fields: object) -> holds.CreateHoldRequest:
    items = [{"ticket_type_id": "tt_1", "quantity": 2}, {"ticket_type_id": "tt_2", "quantity": 1}]
    values = {"event_id": "evt_1", "items": items, **fields}
    return holds.CreateHoldRequest(**values)  # type: ignore[arg-type]  # dicts become messages


def test_the_same_request_has_the_same_fingerprint_whatever_its_key() -> None:
    assert fingerprint(request()) == fingerprint(request())
    assert fingerprint(request(idempotency_key="a")) == fingerprint(request(idempotency_key="b"))


def test_any_other_field_makes_another_fingerprint() -> None:
    swapped = list(reversed(request().items))
    others = [request(event_id="evt_2"), request(items=[]), request(items=swapped)]
    assert len({fingerprint(each) for each in (request(), *others)}) == 4


def test_the_same_fields_in_another_rpc_make_another_fingerprint() -> None:
    published = events.PublishEventRequest(event_id="evt_1")
    cancelled = events.CancelEventRequest(event_id="evt_1")
    assert published.SerializeToString() == cancelled.SerializeToString()
    assert fingerprint(published) != fingerprint(cancelled)


def test_the_request_itself_stays_as_it_is() -> None:
    sent = request(idempotency_key="a")
    fingerprint(sent)
    assert sent == request(idempotency_key="a")
