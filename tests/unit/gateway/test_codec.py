"""Messages to JSON and back: the same as proto JSON, but for the differences that REST asks for."""

import json
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tessera.payment.v1 import insights_service_pb2, order_pb2, order_service_pb2
from tessera.ticket.v1 import event_pb2, event_service_pb2, hold_pb2, ticket_service_pb2
from tessera.user.v1 import session_pb2, session_service_pb2

from gateway.contract import enum_names, message_class
from gateway.decoding import Violations, decode_object, decoders
from gateway.encoding import encoder

# Nothing here is about time, on however busy a machine.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ANSWERS: list[type[Message]] = [
    event_service_pb2.ListEventsResponse,
    insights_service_pb2.EventInsights,
    order_service_pb2.ListOrdersResponse,
    hold_pb2.Hold,
    ticket_service_pb2.CheckIn,
    session_pb2.Session,
    session_service_pb2.IntrospectTokenResponse,
]
_TIMES = st.builds(
    Timestamp,
    seconds=st.integers(-62135596800, 253402300799),
    nanos=st.one_of(st.just(0), st.integers(0, 999_999_999), st.just(123_000_000)),
)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return _messages(field.message_type)
    if field.enum_type is not None:
        # UNSPECIFIED has no name in REST: within a list or an optional field nobody says it.
        least = 1 if field.is_repeated or field.has_presence else 0
        numbers = [value.number for value in field.enum_type.values]
        return st.sampled_from([number for number in numbers if number >= least])
    return {
        FieldDescriptor.TYPE_STRING: _TEXTS,
        FieldDescriptor.TYPE_BOOL: st.booleans(),
        FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
        FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    }[field.type]


def _messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    if descriptor.full_name == Timestamp.DESCRIPTOR.full_name:
        return _TIMES
    fields = {
        field.name: st.lists(_values(field), max_size=3) if field.is_repeated else _values(field)
        for field in descriptor.fields
    }
    build = message_class(descriptor)
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: build(**values))


def _messages_of(answer: Any) -> st.SearchStrategy[Message]:
    return _messages(answer.DESCRIPTOR)


_ANY_ANSWER = st.sampled_from(ANSWERS).flatmap(_messages_of)


def _as_rest(message: Message) -> Any:
    """What `json_format` says, with enums as REST spells them."""
    spelled = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _respelled(spelled, message.DESCRIPTOR)


def _respelled(spelled: dict[str, Any], descriptor: Any) -> dict[str, Any]:
    for field in descriptor.fields:
        value = spelled.get(field.name)
        if value is None:
            continue
        if field.enum_type is not None:
            number = field.enum_type.values_by_name[value].number
            spelled[field.name] = enum_names(field.enum_type).get(number)
            if not number:
                del spelled[field.name]
        elif field.message_type is not None and isinstance(value, dict | list):
            for one in value if isinstance(value, list) else [value]:
                _respelled(one, field.message_type)
    return spelled


@relaxed
@given(_ANY_ANSWER)
def test_answers_are_proto_json_with_short_enum_names_and_without_unspecified_ones(
    message: Message,
) -> None:
    assert encoder(message.DESCRIPTOR)(message) == _as_rest(message)


@relaxed
@given(_ANY_ANSWER)
def test_what_was_encoded_decodes_to_the_same_message(message: Message) -> None:
    fields: Any = message.DESCRIPTOR.fields
    known = decoders(fields)
    text = orjson.dumps(encoder(message.DESCRIPTOR)(message))
    violations = Violations()
    values = decode_object(json.loads(text), known, "", violations)
    assert not violations
    assert type(message)(**values) == message


@relaxed
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["id", "items", "total", "state", "expires_at", "?"]), inner),
    max_leaves=8,
))  # fmt: skip
def test_any_json_is_decoded_or_refused_and_nothing_else(value: Any) -> None:
    violations = Violations()
    values = decode_object(value, decoders(hold_pb2.Hold.DESCRIPTOR.fields), "", violations)
    if not violations:
        hold_pb2.Hold(**values)


def test_fields_keep_the_order_of_the_proto() -> None:
    event = event_pb2.Event(id="evt_1", version=3, starts_at=Timestamp(seconds=0))
    assert list(encoder(event.DESCRIPTOR)(event)) == [
        "id",
        "organizer_id",
        "title",
        "description",
        "location",
        "starts_at",
        "time_zone",
        "currency_code",
        "ticket_types",
        "version",
    ]


def test_an_enum_number_from_a_newer_service_stays_a_number() -> None:
    assert encoder(order_pb2.Order.DESCRIPTOR)(order_pb2.Order(state=99))["state"] == 99  # type: ignore[arg-type]  # as from the wire


def test_a_type_that_rest_cannot_spell_is_refused_when_the_gateway_starts() -> None:
    mask = event_service_pb2.UpdateEventRequest.DESCRIPTOR
    with pytest.raises(TypeError, match="FieldMask"):
        encoder(mask)


def _decode_time(text: object) -> tuple[Any, list[str]]:
    violations = Violations()
    known = decoders(event_pb2.Event.DESCRIPTOR.fields)
    values = decode_object({"starts_at": text}, known, "", violations)
    return values["starts_at"], [violation.description for violation in violations]


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("1970-01-01T00:00:00Z", 0, 0),
        ("1970-01-01t00:00:01z", 1, 0),
        ("1970-01-01T02:00:00+02:00", 0, 0),
        ("1969-12-31T18:30:00-05:30", 0, 0),
        ("1970-01-01T00:00:00.5Z", 0, 500_000_000),
        ("1970-01-01T00:00:00.123456789Z", 0, 123_456_789),
        ("0001-01-01T00:00:00Z", -62135596800, 0),
        ("9999-12-31T23:59:59Z", 253402300799, 0),
        ("2024-02-29T00:00:00Z", 1709164800, 0),
    ],
)
def test_a_time_may_have_any_offset(text: str, seconds: int, nanos: int) -> None:
    assert _decode_time(text) == (Timestamp(seconds=seconds, nanos=nanos), [])


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01",
        "2026-05-01T19:00:00",
        "2026-05-01 19:00:00Z",
        "2026-05-01T19:00Z",
        "2026-05-01T19:00:00+0200",
        "2026-05-01T19:00:00.Z",
        "2026-05-01T19:00:00.1234567890Z",
        " 2026-05-01T19:00:00Z",
        "2026-05-01T19:00:00Z\n",
        "٢٠٢٦-05-01T19:00:00Z",
        "",
        0,
        1777661999,
        True,
        {},
    ],
)
def test_what_is_not_rfc_3339_is_no_time(text: object) -> None:
    assert _decode_time(text)[1] == ["is not an RFC 3339 time such as 2026-05-01T19:00:00Z"]


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-05-01T24:00:00Z",
        "2026-05-01T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "2026-05-01T00:00:00+24:00",
        "2026-05-01T00:00:00+01:60",
    ],
)
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    assert _decode_time(text)[1] == ["is not a time that exists"]
