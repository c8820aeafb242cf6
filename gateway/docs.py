"""`/docs`: the API's description as one page to read, without scripts or other files."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from gateway import problems, streams
from gateway.binding import MalformedJson
from gateway.health import NotReady
from gateway.routes import RouteNotFound
from gateway.transcoding import Page
from kit import auth
from kit.errors import DeadlineExceeded, Internal, InvalidRequest, TesseraError, Unavailable
from kit.idempotency import IdempotencyKeyInUse, IdempotencyKeyReused
from kit.paging import InvalidPageToken
from kit.patch import FieldNotNullable

_HEADERS = {
    "Cache-Control": "public, max-age=300",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    ),
}
_MAX_DEPTH = 4
_GENERAL: tuple[type[TesseraError], ...] = (
    InvalidRequest,
    MalformedJson,
    auth.TokenMissing,
    auth.TokenExpired,
    auth.InvalidToken,
    auth.RoleNotAllowed,
    RouteNotFound,
    problems.MethodNotAllowed,
    problems.BodyTooSlow,
    problems.BodyTooLarge,
    problems.UriTooLong,
    problems.UnsupportedMediaType,
    InvalidPageToken,
    FieldNotNullable,
    IdempotencyKeyReused,
    IdempotencyKeyInUse,
    Internal,
    NotReady,
    Unavailable,
    DeadlineExceeded,
    streams.GatewayStopping,
)


def page(document: Mapping[str, Any]) -> Page:
    """Serves the OpenAPI document as HTML."""
    content = render(document)

    async def serve(_request: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type="text/html")

    return serve


def render(document: Mapping[str, Any]) -> str:
    """The page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    groups: dict[str, tuple[str, list[dict[str, Any]]]] = {
        tag["name"]: (tag["description"], []) for tag in document["tags"]
    }
    reasons: dict[str, list[dict[str, Any]]] = {}
    for operation in _operations(document):
        groups[operation["tags"][0]][1].append(operation)
        for reason in operation["x-reasons"]:
            reasons.setdefault(reason, []).append(operation)
    return environment.get_template("docs.html").render(
        info=document["info"],
        groups=groups,
        general=[_explained(error()) for error in _GENERAL],
        reasons=dict(sorted(reasons.items())),
        security=document["components"]["securitySchemes"],
        problem=list(_rows(document, document["components"]["schemas"]["Problem"])),
    )


def _explained(error: TesseraError) -> dict[str, Any]:
    status = problems.status_of(error)
    return {"reason": error.reason, "status": status, "message": error.message}


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The operations, with their fields as rows of a table."""
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            body = _content_schema(operation.get("requestBody", {}))
            status, answer = next(iter(operation["responses"].items()))
            yield {
                **operation,
                "path": path,
                "verb": verb.upper(),
                "body": list(_rows(document, body)),
                "status": status,
                "answer": list(_rows(document, _content_schema(answer))),
                "answer_type": next(iter(answer.get("content", {})), ""),
                "answer_text": answer["description"],
                "parameters": [
                    {**parameter, "type": _type(document, parameter["schema"])}
                    for parameter in operation["parameters"]
                ],
            }


def _content_schema(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    for media in holder.get("content", {}).values():
        schema: Mapping[str, Any] = media["schema"]
        return schema
    return {}


def _rows(
    document: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = ""
) -> Iterator[dict[str, Any]]:
    """A row for each field of a schema; a nested one is `items[].quantity`."""
    schema = _resolved(document, schema)
    for name, field in schema.get("properties", {}).items():
        target, path = _resolved(document, field), prefix + name
        if target.get("type") == "array":
            target, path = _resolved(document, target["items"]), f"{path}[]"
        yield {
            "name": path,
            "type": _type(document, field),
            "required": name in schema.get("required", ()),
            "description": field.get("description") or target.get("description", ""),
        }
        if path.count(".") < _MAX_DEPTH:
            yield from _rows(document, target, f"{path}.")


def _type(document: Mapping[str, Any], field: Mapping[str, Any]) -> str:
    """`list of object, 1 to 20`, `string, at most 200`, `DRAFT | PUBLISHED`."""
    schema = _resolved(document, field)
    if schema.get("type") == "array":
        limits = _limits(schema, "minItems", "maxItems")
        return ", ".join(filter(None, (f"list of {_type(document, schema['items'])}", limits)))
    if "enum" in schema:
        return " | ".join(schema["enum"])
    kind = schema.get("format") or schema.get("type", "anything")
    limits = _limits(schema, "minLength", "maxLength") or _limits(schema, "minimum", "maximum")
    return ", ".join(filter(None, (kind, limits, schema.get("pattern", ""))))


def _limits(schema: Mapping[str, Any], low_word: str, high_word: str) -> str:
    low, high = schema.get(low_word), schema.get(high_word)
    if low is not None and high is not None:
        return f"{low} to {high}"
    if high is not None:
        return f"at most {high}"
    return f"at least {low}" if low is not None else ""


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _code(text: str) -> Markup:
    """What stands between backticks, as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped first
