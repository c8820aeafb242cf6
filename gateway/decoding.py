"""Turns JSON and query parameters into messages, strictly, and says all that is wrong at once.

Strict: unknown fields, numbers in strings, booleans for numbers and the like are refused, never
guessed at. `null` is the same as absent. What PostgreSQL cannot store (NUL, half of a surrogate
pair) is refused here already.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from math import inf, isfinite
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.contract import (
    LONG_INTEGERS,
    TIMESTAMP,
    enum_names,
    enum_of,
    is_map,
    is_message,
    max_items,
    message_class,
    message_of,
)
from kit.errors import FieldViolation

_MAX_VIOLATIONS = 100
_MAX_NAME = 200
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_TIME = re.compile(  # RFC 3339, section 5.6
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNED_32 = {
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_SINT32,
    FieldDescriptor.TYPE_SFIXED32,
}
_UNSIGNED_32 = {FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32}
_UNSIGNED_64 = {FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64}
_FLOATS = {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE}

Path = Any
"""Where a value is: a name, or the path of what it is in and its name or index in there.

Spelled out only for what is refused: a hall has a hundred thousand values.
"""

Decode = Callable[[Any, Path, "Violations"], Any]
"""From a JSON value at a path to a field's value, or REFUSED with a violation added."""

REFUSED: Any = object()


class Violations(list[FieldViolation]):
    """What is wrong with a request; a hopeless one is not listed to its end."""

    def refuse(self, path: Path, description: str) -> Any:
        """Note what is wrong with a field, and return REFUSED for it."""
        if len(self) < _MAX_VIOLATIONS:
            # The name of an unknown field is anything at all.
            printable = _spelled(path)[:_MAX_NAME].encode(errors="replace").decode()
            self.append(FieldViolation(printable, description))
        return REFUSED


def _spelled(path: Path) -> str:
    """`items[0].quantity`."""
    if isinstance(path, str):
        return path
    around, inside = path
    if isinstance(inside, int):
        return f"{_spelled(around)}[{inside}]"
    return f"{_spelled(around)}.{inside}".removeprefix(".")


def decode_object(
    value: Any, decoders: Mapping[str, Decode], path: Path, violations: Violations
) -> dict[str, Any]:
    """The fields' values in a JSON object, as keyword arguments of their message."""
    if not isinstance(value, dict):
        violations.refuse(path, "is not an object")
        return {}
    values = {}
    for name, content in value.items():
        decode = decoders.get(name)
        if decode is None:
            violations.refuse((path, name), "is unknown")
        elif content is not None:
            values[name] = decode(content, (path, name), violations)
    return values


def decoders(fields: Iterable[FieldDescriptor]) -> dict[str, Decode]:
    """How each of the fields is decoded, by name."""
    return {field.name: decoder(field) for field in fields}


def decode_query(
    parameters: Iterable[tuple[str, str]],
    fields: Mapping[str, FieldDescriptor],
    violations: Violations,
) -> dict[str, Any]:
    """The fields' values in a query string; an empty parameter (`?state=`) is the same as none."""
    values: dict[str, Any] = {}
    for name, text in parameters:
        field = fields.get(name)
        if field is None:
            violations.refuse(name, "is unknown")
        elif name in values and not field.is_repeated:
            violations.refuse(name, "is given more than once")
        elif text:
            value = _value_decoder(field)(_from_text(field, text), name, violations)
            values[name] = [*values.get(name, ()), value] if field.is_repeated else value
    return values


@cache
def decoder(field: FieldDescriptor) -> Decode:
    """How the field's JSON value is decoded."""
    decode = _value_decoder(field)
    if is_map(field):
        return _map_decoder(message_of(field).fields_by_name["value"])
    if field.is_repeated:
        return _list_decoder(decode, max_items(field))
    return decode


def _list_decoder(decode: Decode, most: int) -> Decode:
    """A list that is too long is refused before anything looks at each of its elements."""

    def decode_list(value: Any, path: Path, violations: Violations) -> Any:
        if not isinstance(value, list):
            return violations.refuse(path, "is not a list")
        if len(value) > most:
            return violations.refuse(path, f"has more than {most} elements")
        return [decode(one, (path, index), violations) for index, one in enumerate(value)]

    return decode_list


def _map_decoder(field: FieldDescriptor) -> Decode:
    decode = _value_decoder(field)

    def decode_map(value: Any, path: Path, violations: Violations) -> Any:
        if not isinstance(value, dict):
            return violations.refuse(path, "is not an object")
        entries = {}
        for key, one in value.items():
            name = _decode_string(key, path, violations)
            entries[name] = decode(one, (path, key), violations)
        return entries

    return decode_map


@cache
def _value_decoder(field: FieldDescriptor) -> Decode:
    """How one value of the field is decoded, whether or not it is repeated."""
    if is_message(field):
        if message_of(field).full_name == TIMESTAMP:
            return _decode_timestamp
        return _message_decoder(message_of(field))
    if field.type == FieldDescriptor.TYPE_ENUM:
        return _enum_decoder(enum_names(enum_of(field)))
    if field.type in _SIGNED_32:
        return _integer_decoder(-(2**31), 2**31 - 1)
    if field.type in _UNSIGNED_32:
        return _integer_decoder(0, 2**32 - 1)
    if field.type in LONG_INTEGERS:
        signed = field.type not in _UNSIGNED_64
        return _long_decoder(_integer_decoder(-(2**63) if signed else 0, 2 ** (64 - signed) - 1))
    if field.type in _FLOATS:
        return _decode_number
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _decode_bool
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _decode_bytes
    return _decode_string


def _message_decoder(descriptor: Descriptor) -> Decode:
    build = message_class(descriptor)
    known: dict[str, Decode] = {}

    def decode_message(value: Any, path: Path, violations: Violations) -> Any:
        if not known:  # not before it is used: a message may contain itself
            known.update(decoders(descriptor.fields))
        values = decode_object(value, known, path, violations)
        return REFUSED if violations else build(**values)

    return decode_message


def _enum_decoder(names: Mapping[int, str]) -> Decode:
    numbers = {name: number for number, name in names.items()}
    refusal = f"is not one of {', '.join(numbers)}"

    def decode_enum(value: Any, path: Path, violations: Violations) -> Any:
        if isinstance(value, str) and value in numbers:
            return numbers[value]
        return violations.refuse(path, refusal)

    return decode_enum


def _integer_decoder(low: int, high: int) -> Decode:
    def decode_integer(value: Any, path: Path, violations: Violations) -> Any:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON knows no integers: 1.0 is 1, and so says JSON Schema
        if not isinstance(value, int) or isinstance(value, bool):
            return violations.refuse(path, "is not an integer")
        if not low <= value <= high:
            return violations.refuse(path, f"is not between {low} and {high}")
        return value

    return decode_integer


def _long_decoder(decode: Decode) -> Decode:
    def decode_long(value: Any, path: Path, violations: Violations) -> Any:
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        return decode(value, path, violations)

    return decode_long


def _decode_number(value: Any, path: Path, violations: Violations) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return violations.refuse(path, "is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = inf
    return number if isfinite(number) else violations.refuse(path, "is too large")


def _decode_bool(value: Any, path: Path, violations: Violations) -> Any:
    return value if isinstance(value, bool) else violations.refuse(path, "is not true or false")


def _decode_string(value: Any, path: Path, violations: Violations) -> Any:
    if not isinstance(value, str):
        return violations.refuse(path, "is not a string")
    if "\0" in value:
        return violations.refuse(path, "contains a NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return violations.refuse(path, "contains half of a surrogate pair")
    return value


def _decode_bytes(value: Any, path: Path, violations: Violations) -> Any:
    try:
        return b64decode(value, validate=True)
    except (Base64Error, TypeError, ValueError):
        return violations.refuse(path, "is not Base64")


def _decode_timestamp(value: Any, path: Path, violations: Violations) -> Any:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not match:
        return violations.refuse(path, "is not an RFC 3339 time such as 2026-05-01T19:00:00Z")
    date, time, fraction, sign, hours, minutes = match.groups()
    try:
        offset = timedelta(0)
        if sign:
            shown = datetime.strptime(f"{hours}:{minutes}", "%H:%M")  # noqa: DTZ007 - a clock face only
            offset = timedelta(hours=shown.hour, minutes=shown.minute)
        local = datetime.fromisoformat(f"{date}T{time}+00:00")
        moment = local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError):  # no such day, or outside of the years 1 to 9999
        return violations.refuse(path, "is not a time that exists")
    since_epoch = moment - _EPOCH
    return Timestamp(
        seconds=since_epoch.days * 86_400 + since_epoch.seconds,
        nanos=int((fraction or "").ljust(9, "0")),
    )


def _from_text(field: FieldDescriptor, text: str) -> Any:
    """The JSON value that a query parameter stands for; what stands for none stays text."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"true": True, "false": False}.get(text, text)
    if field.type in _SIGNED_32 | _UNSIGNED_32 and _INTEGER.fullmatch(text):
        return int(text)
    if field.type in _FLOATS and _NUMBER.fullmatch(text):
        return float(text)
    return text


def query_fields(fields: Iterable[FieldDescriptor]) -> dict[str, FieldDescriptor]:
    """Fields by name, once it is sure that a query string can spell each of them."""
    for field in fields:
        if is_message(field) and message_of(field).full_name != TIMESTAMP:
            raise TypeError(f"{field.full_name} cannot be a query parameter.")
    return {field.name: field for field in fields}
