"""How much the gateway's own JSON encoder saves, against protobuf's."""

import time
from collections.abc import Callable
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.ticket.v1 import event_pb2, event_service_pb2, ticket_type_pb2
from tessera.type.v1 import money_pb2

from benchmarks.pace import Pace
from benchmarks.tables import Row, Table
from gateway.encoding import encoder


def measure(pace: Pace) -> list[Table]:
    """Encode an event, and a page of fifty, both ways in turn."""
    page = event_service_pb2.ListEventsResponse(events=[_event(number) for number in range(50)])
    rows: list[Row] = []
    for what, message in {"an event": page.events[0], "a page of 50 events": page}.items():
        ours = _microseconds(_ours, message, pace.encodings_s)
        theirs = _microseconds(_json_format, message, pace.encodings_s)
        rows.append(
            {
                "message": what,
                "gateway_us": round(ours, 1),
                "json_format_us": round(theirs, 1),
                "ratio": round(theirs / ours, 1),
            }
        )
    return [Table("encoding", "Encoding JSON", rows, ["Each event has three ticket types."])]


def _ours(message: Message) -> bytes:
    return orjson.dumps(encoder(message.DESCRIPTOR)(message))


def _json_format(message: Message) -> bytes:
    values = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return orjson.dumps(values)


def _microseconds(encode: Callable[[Any], bytes], message: Message, for_s: float) -> float:
    encode(message)  # what is made once is made now
    count, started = 0, time.perf_counter()
    while (took_s := time.perf_counter() - started) < for_s:
        encode(message)
        count += 1
    return took_s / count * 1_000_000


def _event(number: int) -> event_pb2.Event:
    moment = Timestamp(seconds=1_800_000_000 + number * 3600)
    types = [
        ticket_type_pb2.TicketType(
            id=f"type_{number}_{index}",
            event_id=f"evt_{number}",
            name=f"Row {index}",
            price=money_pb2.Money(currency_code="EUR", amount="25.00"),
            total_stock=100,
            remaining=40,
            created_at=moment,
            updated_at=moment,
            version=1,
        )
        for index in range(3)
    ]
    return event_pb2.Event(
        id=f"evt_{number}",
        title="Hamlet",
        description="A tragedy. " * 20,
        location="Main Street 1",
        starts_at=moment,
        ends_at=moment,
        currency_code="EUR",
        state=event_pb2.EVENT_STATE_PUBLISHED,
        ticket_types=types,
        created_at=moment,
        updated_at=moment,
        version=1,
    )
