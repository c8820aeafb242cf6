"""Builds an RPC's request message from an HTTP request: its path, query, headers and body."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from starlette.requests import Request

from gateway import contract
from gateway.decoding import (
    Violations,
    decode_object,
    decode_query,
    decoder,
    decoders,
    query_fields,
)
from gateway.large import aside
from gateway.problems import BodyTooSlow, UnsupportedMediaType
from gateway.routes import Route
from kit.errors import FieldViolation, InvalidArgument, InvalidRequest

_MAX_PARAMETERS = 100
_BODY_TIMEOUT_S = 30


class MalformedJson(InvalidArgument):
    """The body is not JSON (RFC 8259) in UTF-8."""


class _Refused(ValueError):
    """Python would take it for JSON, and we do not."""


class Binding:
    """How one route reads its requests. Made once: what the protos say does not change."""

    def __init__(self, route: Route) -> None:
        self._message = contract.message_class(route.rpc.input_type)
        self._path_fields = route.path_fields
        self._path_decoders = [
            decoder(route.rpc.input_type.fields_by_name[n]) for n in self._path_fields
        ]
        self._header_fields = route.header_fields
        self._body_field = route.body_field
        body_fields = route.open_fields.values() if route.body == "*" else ()
        self._body_decoders = decoders(body_fields)
        self._takes_json = bool(route.body) and not _is_raw(route)
        self._query_fields = {} if route.body == "*" else query_fields(route.open_fields.values())
        has_mask = contract.UPDATE_MASK in route.rpc.input_type.fields_by_name
        self._has_mask = has_mask and route.verb == "PATCH"
        self._lists = {f.name for f in route.open_fields.values() if f.is_repeated}

    async def read(self, request: Request, path_values: Sequence[str]) -> Message:
        """The request message.

        Raises:
            InvalidRequest: with everything that is wrong.
            MalformedJson, UnsupportedMediaType: the body cannot be read at all.
        """
        body = await _body(request)  # even where none is expected, so that its limits hold
        violations = Violations()
        values: dict[str, Any] = decode_query(_parameters(request), self._query_fields, violations)
        for name, text, decode in zip(
            self._path_fields, path_values, self._path_decoders, strict=True
        ):
            values[name] = decode(text, name, violations)
        for name, header in self._header_fields.items():
            values[name] = _header(request, header, violations)
        if self._takes_json:
            values |= await aside(len(body), self._json_values, request, body, violations)
        elif self._body_field:
            content_type = request.headers.get("content-type", "")
            values[self._body_field.name] = HttpBody(content_type=content_type, data=body)
        if violations:
            first = violations[0]
            detail = (
                f"{first.field}: {first.description}"
                if first.field
                else "The body is not an object."
            )
            raise InvalidRequest(detail, violations=tuple(violations))
        return self._message(**values)

    def _json_values(self, request: Request, body: bytes, violations: Violations) -> dict[str, Any]:
        content = _json(request, body)
        if self._body_field is None:
            values = decode_object(content, self._body_decoders, "", violations)
        else:
            name = self._body_field.name
            values = {name: decoder(self._body_field)(content, name, violations)}
        if self._has_mask and not violations:
            # A null counts: it clears the field. But a list that is none is more likely a mistake.
            for name in self._lists.intersection(content):
                if content[name] is None:
                    violations.refuse(name, "must be a list; [] empties it")
            values[contract.UPDATE_MASK] = FieldMask(paths=list(content))
        return values


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            return await request.body()
    except TimeoutError:
        raise BodyTooSlow from None


def _is_raw(route: Route) -> bool:
    return route.body_field is not None and contract.is_http_body(route.body_field)


def _parameters(request: Request) -> list[tuple[str, str]]:
    query: bytes = request.scope["query_string"]
    if not query:
        return []
    try:
        text = query.decode("ascii")
        return parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:  # UnicodeDecodeError is one; so is too many
        raise _invalid(
            "query", "is not percent-encoded UTF-8, or has too many parameters"
        ) from None


def _header(request: Request, name: str, violations: Violations) -> str:
    values = request.headers.getlist(name)
    if len(values) > 1:
        violations.refuse(name, "is sent more than once")
        return ""
    value = values[0] if values else ""
    if not value.isascii() or not value.isprintable():
        violations.refuse(name, "contains characters other than visible ASCII")
        return ""
    return value


def _json(request: Request, body: bytes) -> Any:
    """The body's JSON value; an empty body is an empty object."""
    if not body:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except RecursionError:
        raise MalformedJson("The body is nested too deeply.") from None
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise MalformedJson(f"The body is not JSON in UTF-8: {_where(error)}.") from None


def _object(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    """An object whose names are unique (RFC 8259 lets us refuse others, which hide mistakes)."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused("an object has the same name twice")
    return members


def _refuse_constant(name: str) -> Any:
    raise _Refused(f"{name} is not JSON")


def _where(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (line {error.lineno}, column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if isinstance(error, _Refused):
        return str(error)
    return "a number is too long"


def _invalid(field: str, description: str) -> InvalidRequest:
    return InvalidRequest(
        f"The {field} {description}.", violations=(FieldViolation(field, description),)
    )
