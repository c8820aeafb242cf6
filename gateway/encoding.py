"""Turns messages into what JSON can say, with a function made once for each message type.

Differs from `json_format` on purpose: names are snake_case, zeroes and empty lists are present, an
enum is its name without prefix, and an enum that was not specified is absent.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache, lru_cache
from keyword import iskeyword
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.contract import LONG_INTEGERS, TIMESTAMP, enum_names, enum_of, is_map, message_of

Encode = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive, so that isoformat() adds no offset


@cache
def encoder(descriptor: Descriptor) -> Encode:
    """A function from messages of this type to dicts of plain values (a Timestamp: to a string).

    Like a dataclass's `__init__`, it is generated source: looping over the fields takes twice as
    long.
    """
    if descriptor.full_name == TIMESTAMP:
        return _encode_timestamp
    if descriptor.full_name.startswith("google.protobuf.") and descriptor.fields:
        raise TypeError(f"REST has no spelling for {descriptor.full_name}.")
    converters: dict[str, Encode] = {}
    source = ["def encode(message):", " has = message.HasField", " values = {}"]
    for field in descriptor.fields:
        put = f"values[{field.name!r}] ="
        value = f"message.{field.name}"
        if iskeyword(field.name):
            value = f"getattr(message, {field.name!r})"
        converter = f"convert_{field.number}"
        if convert := _field_encoder(field):
            converters[converter] = convert
        result = f"{converter}({value})" if convert else value
        if field.has_presence:
            source.append(f" if has({field.name!r}): {put} {result}")
        elif field.type == FieldDescriptor.TYPE_ENUM and not field.is_repeated:
            source.append(f" if {value}: {put} {result}")
        else:
            source.append(f" {put} {result}")
    exec("\n".join([*source, " return values"]), converters)  # noqa: S102 - made of the protos' names
    return converters["encode"]


def _field_encoder(field: FieldDescriptor) -> Encode | None:
    """How the field's value is converted, or None when it is fit for JSON as it is."""
    if is_map(field):
        return _map_encoder(message_of(field).fields_by_name["value"])
    convert = _value_encoder(field)
    if not field.is_repeated:
        return convert
    if convert is None:
        return list
    return lambda values: [convert(value) for value in values]


def _map_encoder(value: FieldDescriptor) -> Encode:
    convert = _value_encoder(value) or (lambda same: same)

    def encode(entries: Mapping[Any, Any]) -> dict[str, Any]:
        return {str(key): convert(entries[key]) for key in entries}

    return encode


def _value_encoder(field: FieldDescriptor) -> Encode | None:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return encoder(message_of(field))
    if field.type == FieldDescriptor.TYPE_ENUM:
        return _enum_encoder(enum_of(field))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: b64encode(value).decode()
    if field.type in LONG_INTEGERS:
        return str
    return None


def _enum_encoder(descriptor: EnumDescriptor) -> Encode:
    names = enum_names(descriptor)
    # A number from a newer service, which this gateway cannot name, stays a number.
    return lambda number: names.get(number, number)


def _encode_timestamp(value: Timestamp) -> str:
    second, nanos = _encode_second(value.seconds), value.nanos
    if not nanos:
        return f"{second}Z"
    if nanos % 1_000:
        return f"{second}.{nanos:09}Z"
    if nanos % 1_000_000:
        return f"{second}.{nanos // 1_000:06}Z"
    return f"{second}.{nanos // 1_000_000:03}Z"


@lru_cache(maxsize=4096)  # the times in a list of events are few, and seen again and again
def _encode_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()
