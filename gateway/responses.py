"""Turns an RPC's answer into an HTTP response."""

from collections.abc import Callable
from typing import Any

import orjson
from starlette.responses import Response

from gateway import contract, sse
from gateway.encoding import encoder
from gateway.routes import Route

Respond = Callable[[Any], Response]

# Whatever a page that a service made should contain, it does nothing here.
_HTML_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'"


def responder(route: Route) -> Respond:
    """How a route's answers are sent: as nothing, as a file, or as JSON."""
    output = route.rpc.output_type
    if output.full_name == contract.EMPTY:
        return lambda _answer: Response(status_code=route.success)
    if output.full_name == contract.HTTP_BODY:
        return _file_responder(route)
    encode, has_version = encoder(output), "version" in output.fields_by_name

    def respond(answer: Any) -> Response:
        headers = {"ETag": f'"{answer.version}"'} if has_version else None
        content = orjson.dumps(encode(answer))
        return Response(content, route.success, headers, "application/json")

    return respond


def event_renderer(route: Route) -> Callable[[Any], bytes]:
    """How each message of a route's stream is sent."""
    encode = encoder(route.rpc.output_type)
    return lambda message: sse.event(orjson.dumps(encode(message)))


def _file_responder(route: Route) -> Respond:
    """A google.api.HttpBody says its content type; the path says the file's name."""
    name = route.template.rpartition("/")[2]
    disposition = f'inline; filename="{name}"' if "." in name else "inline"

    def respond(answer: Any) -> Response:
        headers = {"Content-Disposition": disposition}
        if answer.content_type.startswith("text/html"):
            headers["Content-Security-Policy"] = _HTML_POLICY
        return Response(answer.data, route.success, headers, answer.content_type)

    return respond
