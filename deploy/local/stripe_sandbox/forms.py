"""Form encoding as Stripe nests it: `a[b][c]=1`, `a[]=1`, `a[0][b]=1`."""

from typing import Any
from urllib.parse import parse_qsl

from deploy.local.stripe_sandbox.errors import JsonObject, invalid_request

MAX_FIELDS = 1000
MAX_DEPTH = 8


def parse_form(encoded: str) -> JsonObject:
    """Read a query string or a form body.

    Raises:
        StripeError: more than `MAX_FIELDS` fields, nested deeper than `MAX_DEPTH`, or one name
            used both for a value and for a group of values.
    """
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise invalid_request("Invalid request: too many parameters.") from error
    root: JsonObject = {}
    for name, value in pairs:
        _place(root, _split(name), value)
    return {name: _lists(value) for name, value in root.items()}


def _split(name: str) -> list[str]:
    head, *rest = name.split("[")
    path = [head, *(part.removesuffix("]") for part in rest)]
    if len(path) > MAX_DEPTH:
        raise invalid_request(f"Invalid parameter: {name} is nested too deeply.", param=name)
    return path


def _place(node: JsonObject, path: list[str], value: str) -> None:
    *groups, last = path
    for group in groups:
        node = node.setdefault(group or str(len(node)), {})
        if not isinstance(node, dict):
            raise invalid_request(f"Invalid parameter: {path[0]}.", param=path[0])
    node[last or str(len(node))] = value


def _lists(value: Any) -> Any:
    """Groups whose names are all numbers are lists."""
    if not isinstance(value, dict):
        return value
    if value and all(name.isdecimal() for name in value):
        return [_lists(value[name]) for name in sorted(value, key=int)]
    return {name: _lists(item) for name, item in value.items()}
