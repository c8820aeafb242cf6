"""The API's description (OpenAPI 3.1), made of the same protos as the API."""

import mimetypes
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from tessera.access.v1 import access_pb2

from gateway import contract, sse
from gateway.comments import comments
from gateway.problems import MEDIA_TYPE
from gateway.routes import Route
from gateway.schemas import Schema, Schemas, required
from gateway.transcoding import Page

_REASON = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_HEADERS = {
    "Idempotency-Key": (
        "Any text that you use once. The same key with the same body gives the same answer, with"
        " one effect; with another body, 422."
    ),
    "If-Match": (
        "The resource's `version` in quotes, as in its `ETag`: the change is made only if that is"
        " still its version, or else it is 412."
    ),
}
_IF_NONE_MATCH: Schema = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The `ETag` of what you have: if that is still the answer, it is 304.",
}
_NOT_MODIFIED: Schema = {
    "description": "What you have is still the answer.",
    "headers": {"ETag": {"schema": {"type": "string"}}},
}
_DESCRIPTION = """\
Times are RFC 3339. Money is a decimal: `{"currency_code": "EUR", "amount": "50.00"}`.
A list is read page by page: pass `next_page_token` as `page_token` until it is empty.
`PATCH` changes the fields that are sent; `null` clears one.
What anyone may read may be a moment old, where the answer says so; who sends a token reads what is.
Every refusal is `application/problem+json` (RFC 9457): its `reason` is what programs decide by, its
`instance` is the request's id, which is also in the `X-Request-Id` header."""
_PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string", "description": "Where this reason is explained."},
        "title": {"type": "string"},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "A sentence for people."},
        "instance": {"type": "string", "description": "The request's id."},
        "reason": {"type": "string", "description": "What programs decide by: `SOLD_OUT`."},
        "errors": {
            "type": "array",
            "description": "What is wrong with the input.",
            "items": {
                "type": "object",
                "properties": {
                    "field": {"type": "string", "description": "`items[0].quantity`"},
                    "description": {"type": "string"},
                },
                "required": ["field", "description"],
            },
        },
        "metadata": {
            "type": "object",
            "description": "What else there is to say about this reason.",
            "additionalProperties": {"type": "string"},
        },
    },
    "required": ["type", "title", "status", "detail", "instance", "reason"],
}
_SECURITY: Schema = {
    "user": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A signed-in user's `access_token`.",
    },
    "order": {
        "type": "http",
        "scheme": "bearer",
        "description": "The `access_token` in the answer to an order's creation; opens that order.",
    },
}


def page(document: Mapping[str, Any]) -> Page:
    """Serves the document."""
    content = orjson.dumps(document)

    async def serve(_request: Request) -> Response:
        headers = {"Cache-Control": "public, max-age=300"}
        return Response(content, headers=headers, media_type="application/json")

    return serve


def document(routes: Sequence[Route], image: Path) -> dict[str, Any]:
    """The OpenAPI document of these routes, in their order."""
    said = comments(image)
    schemas = Schemas(said)
    answers = {
        route.key: _answer(route, schemas) for route in routes
    }  # first: they get the plain names
    paths: dict[str, Schema] = {}
    for route in routes:
        operation = _operation(route, schemas, said)
        operation["responses"] = {
            str(route.success): answers[route.key],
            **({"304": _NOT_MODIFIED} if route.max_age_s else {}),
            "default": {"$ref": "#/components/responses/Problem"},
        }
        paths.setdefault(route.template, {})[route.verb.lower()] = operation
    services = {route.rpc.containing_service.full_name: route for route in routes}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tessera", "version": version("tessera"), "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [
            {"name": _tag(route), "description": said.get(name, "")}
            for name, route in services.items()
        ],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())) | {"Problem": _PROBLEM},
            "securitySchemes": _SECURITY,
            "responses": {
                "Problem": {
                    "description": "It was refused, or went wrong.",
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
        },
    }


def _tag(route: Route) -> str:
    return _words(route.rpc.containing_service.name.removesuffix("Service"))


def _words(name: str) -> str:
    """`Create event` for CreateEvent."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


def _operation(route: Route, schemas: Schemas, said: Mapping[str, str]) -> Schema:
    comment, _, errors = said.get(route.rpc.full_name, "").partition("Errors:")
    operation: Schema = {
        "operationId": route.rpc.name[0].lower() + route.rpc.name[1:],
        "tags": [_tag(route)],
        "summary": _words(route.rpc.name),
        "description": comment.strip(),
        "security": _security(route.access),
        "x-access": _who(route.access),
        "x-reasons": _REASON.findall(errors),
        "parameters": _parameters(route, schemas),
    }
    if body := _body(route, schemas):
        operation["requestBody"] = body
        if route.max_body_bytes:
            body["description"] = f"At most {route.max_body_bytes // 2**20} MiB."
    return operation


def _security(access: access_pb2.Access) -> list[Schema]:
    ways: list[Schema] = [{}] if access.anyone else []
    if access.anyone or access.roles:
        ways.append({"user": []})
    if access.order_token:
        ways.append({"order": []})
    return ways


def _who(access: access_pb2.Access) -> list[str]:
    if access.anyone:
        return ["anyone"]
    roles = contract.enum_names(access_pb2.Role.DESCRIPTOR)
    return [
        *(["order token"] if access.order_token else []),
        *(roles[role] for role in access.roles),
    ]


def _parameters(route: Route, schemas: Schemas) -> list[Schema]:
    fields = route.rpc.input_type.fields_by_name
    places = {name: ("path", name) for name in route.path_fields}
    if route.body != "*":
        places |= {name: ("query", name) for name in route.open_fields}
    places |= {name: ("header", header) for name, header in route.header_fields.items()}
    needed = required(route.rpc.input_type)
    parameters = []
    for field_name, (place, name) in places.items():
        schema = schemas.field(fields[field_name], is_request=True)
        description = schema.pop("description", "") or _HEADERS.get(name, "")
        parameter = {"name": name, "in": place, "required": place == "path" or field_name in needed}
        parameter["schema"] = schema
        parameters.append(parameter | ({"description": description} if description else {}))
    return [*parameters, _IF_NONE_MATCH] if route.max_age_s else parameters


def _body(route: Route, schemas: Schemas) -> Schema | None:
    if not route.body:
        return None
    if (field := route.body_field) is None:
        fields = route.open_fields.values()
        schema = schemas.request(route.rpc.input_type, fields)
        is_needed = bool(required(route.rpc.input_type) & {f.name for f in fields})
        return {"required": is_needed, "content": {"application/json": {"schema": schema}}}
    if contract.is_http_body(field):
        return {"required": True, "content": {"*/*": {"schema": {}}}}
    schema = schemas.field(field, is_request=True)
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _answer(route: Route, schemas: Schemas) -> Schema:
    output = route.rpc.output_type
    if output.full_name == contract.EMPTY:
        return {"description": "Done."}
    if output.full_name == contract.HTTP_BODY:
        media_type = mimetypes.guess_type(route.template)[0] or "*/*"
        return {"description": "The file.", "content": {media_type: {"schema": {}}}}
    schema = schemas.answer(output)
    if route.is_stream:
        told = f"Server-sent events, until you leave: the `data` of each is one {output.name}."
        problem = "An event named `problem` says why there are no more: its `data` is a Problem."
        content = {sse.MEDIA_TYPE: {"schema": schema}}
        return {"description": f"{told} {problem}", "content": content}
    answer: Schema = {
        "description": f"{output.name}.",
        "content": {"application/json": {"schema": schema}},
    }
    if headers := _headers(route):
        answer["headers"] = {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in headers.items()
        }
    return answer


def _headers(route: Route) -> dict[str, str]:
    """What the headers of an answer say, but for those that all answers have."""
    version = "the version, in quotes: for `If-Match`."
    has_version = "version" in route.rpc.output_type.fields_by_name
    if not route.max_age_s:
        return {"ETag": version.capitalize()} if has_version else {}
    content = "Without a token: what this content is known by, for `If-None-Match`."
    return {
        "ETag": f"{content} With one: {version}" if has_version else content,
        "Cache-Control": f"Without a token: the answer may be {route.max_age_s} s old.",
    }
