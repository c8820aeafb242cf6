"""Enforces the validation rules that the protos carry, and says what is wrong in people's words."""

from collections.abc import Iterator
from typing import Any

import protovalidate
from google.protobuf.message import Message

from kit.errors import FieldViolation, InvalidRequest

_validator = protovalidate.Validator()

MAX_NAMED = 50  # violations in one answer: an error travels in a trailer of at most 16 kB

# What the contract's regular expressions mean.
_PATTERNS = {
    r"\S": "must not be blank",
    r"^[A-Z]{3}$": 'must be three capital letters, such as "EUR"',
    r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?$": 'must be a decimal number, such as "12.50"',
    r"^(\+?[0-9][0-9 ()./-]{2,30})?$": "must be a telephone number",
    r'^("[0-9]{1,9}"|\*)?$': 'must be the version in quotes, such as "3"',
    r"^([A-Za-z0-9-]{4,64})?$": "must be 4 to 64 letters, digits and hyphens",
    r"^[0-9]{6}$": "must be six digits",
    **dict.fromkeys(
        (
            r"^[0-9]{1,2}(\.[0-9]{1,4})?$",
            r"^([0-9]{1,2}(\.[0-9]{1,4})?)?$",
            r"^((100|[0-9]{1,2})(\.[0-9]{1,4})?)?$",
        ),
        'must be a percentage, such as "8.875"',
    ),
}


def validate(request: Message) -> None:
    """Enforce the protos' validation rules.

    Raises:
        InvalidRequest: with every field that breaks one.
    """
    found: dict[str, str] = {}
    for violation in _validator.collect_violations(request):
        found.setdefault(_path(violation), _words(violation))
    if b"\0" in request.SerializeToString():
        for path in _with_nul(request):
            found.setdefault(path, "must not contain the character U+0000")
    if found:
        path, description = next(iter(found.items()))
        violations = tuple(FieldViolation(*each) for each in list(found.items())[:MAX_NAMED])
        raise InvalidRequest(f"{path}: {description}", violations=violations)


def _words(violation: Any) -> str:
    """Protovalidate shows regular expressions, and enum values by number."""
    match violation.proto.rule_id:
        case "string.min_len" if violation.rule_value == 1:
            return "must not be empty"
        case "string.pattern":
            return _PATTERNS.get(str(violation.rule_value), "is not written as it must be")
        case "enum.in" | "enum.not_in" | "enum.defined_only":
            return "is not one of the values allowed here"
    message: str = violation.proto.message
    return message


def _path(violation: Any) -> str:
    """`items[0].quantity`."""
    path = ""
    for element in violation.proto.field.elements:
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None and element.subscript.field == "index":
            path += f"[{element.subscript.value}]"
    return path


def _with_nul(message: Message, prefix: str = "") -> Iterator[str]:
    """The paths of the strings that PostgreSQL cannot store, for they contain U+0000."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else (value,)
        for index, single in enumerate(values):
            path = f"{prefix}{field.name}" + (f"[{index}]" if field.is_repeated else "")
            if isinstance(single, Message):
                yield from _with_nul(single, f"{path}.")
            elif isinstance(single, str) and "\0" in single:
                yield path
