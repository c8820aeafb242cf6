"""Reading parameters, with the errors Stripe gives for wrong ones."""

from collections.abc import Collection
from typing import Any

from deploy.local.stripe_sandbox.errors import (
    JsonObject,
    StripeError,
    invalid_request,
    missing_parameter,
)

MAX_DIGITS = 15
MAX_METADATA_KEYS = 50
MAX_METADATA_KEY_LENGTH = 40
MAX_METADATA_VALUE_LENGTH = 500

NO_VALUES: JsonObject = {}


def refuse_unknown(params: JsonObject, known: Collection[str]) -> None:
    for name in params:
        if name not in known:
            raise invalid_request(
                f"Received unknown parameter: {name}", param=name, code="parameter_unknown"
            )


def text(params: JsonObject, name: str) -> str | None:
    value = params.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid_request(f"Invalid string: {value}", param=name)
    return value


def required_text(params: JsonObject, name: str) -> str:
    value = text(params, name)
    if value is None:
        raise missing_parameter(name)
    return value


def integer(params: JsonObject, name: str) -> int | None:
    value = text(params, name)
    if value is None:
        return None
    digits = value.removeprefix("-")
    if not digits.isdecimal() or not digits.isascii() or len(digits) > MAX_DIGITS:
        raise invalid_request(
            f"Invalid integer: {value}", param=name, code="parameter_invalid_integer"
        )
    return int(value)


def positive(params: JsonObject, name: str) -> int | None:
    value = integer(params, name)
    if value is not None and value < 1:
        raise invalid_request(
            "This value must be greater than or equal to 1.",
            param=name,
            code="parameter_invalid_integer",
        )
    return value


def boolean(params: JsonObject, name: str, *, default: bool = False) -> bool:
    value = text(params, name)
    if value is None:
        return default
    if value not in {"true", "false"}:
        raise invalid_request(f"Invalid boolean: {value}", param=name)
    return value == "true"


def choice(params: JsonObject, name: str, allowed: Collection[str]) -> str | None:
    value = text(params, name)
    if value is not None and value not in allowed:
        *most, last = allowed
        listed = f"{', '.join(most)}, or {last}" if most else last
        raise invalid_request(f"Invalid {name}: must be one of {listed}", param=name)
    return value


def group(params: JsonObject, name: str) -> JsonObject:
    value: Any = params.get(name)
    if value is None or value == "":
        return NO_VALUES
    if not isinstance(value, dict):
        raise invalid_request("Invalid object", param=name)
    return value


def texts(params: JsonObject, name: str) -> list[str]:
    value: Any = params.get(name)
    if value is None or value == "":
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _invalid_array(name)
    return value


def _invalid_array(name: str) -> StripeError:
    return invalid_request("Invalid array", param=name)


def merged_metadata(current: JsonObject, params: JsonObject) -> JsonObject:
    """Metadata after an update: an empty value removes its key, `metadata=` removes them all."""
    if params.get("metadata") == "":
        return {}
    changes = group(params, "metadata")
    merged = {key: value for key, value in {**current, **changes}.items() if value != ""}
    if len(merged) > MAX_METADATA_KEYS:
        raise invalid_request(
            f"Metadata can have at most {MAX_METADATA_KEYS} keys.", param="metadata"
        )
    for key, value in changes.items():
        if len(key) > MAX_METADATA_KEY_LENGTH or not isinstance(value, str):
            raise invalid_request(f"Invalid metadata: {key}", param=f"metadata[{key}]")
        if len(value) > MAX_METADATA_VALUE_LENGTH:
            raise invalid_request(
                f"Metadata values can have up to {MAX_METADATA_VALUE_LENGTH} characters, but you "
                f"passed in a value that is {len(value)} characters.",
                param=f"metadata[{key}]",
            )
    return merged
