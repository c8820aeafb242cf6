"""Which RPC answers which method and path: read from the protos' `google.api.http` options."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from tessera.access.v1 import access_pb2
from tessera.rest.v1 import rest_pb2

from gateway import contract
from kit.auth import access_of
from kit.errors import FieldViolation, InvalidRequest, NotFound

_TEMPLATE = re.compile(r"(/([A-Za-z0-9_.-]+|\{[a-z_]+\}))+(:[a-z_]+)?")
_MAX_PATH_BYTES = 2048


class RouteNotFound(NotFound):
    """There is nothing at this address; `/docs` lists what there is."""


@dataclass(frozen=True, slots=True)
class Route:
    """One RPC, reachable by one HTTP method and path template."""

    verb: str  # GET, POST, PATCH, DELETE, PUT
    template: str  # /v1/events/{event_id}:publish
    body: str  # "*": the whole message; a field's name: only that one; "": none
    rpc: MethodDescriptor
    access: access_pb2.Access

    @property
    def key(self) -> tuple[str, str]:
        """What tells the route from all others."""
        return self.verb, self.template

    @property
    def service(self) -> str:
        """The name of the service in the mesh: `ticket_service` for `tessera.ticket.v1`."""
        area: str = self.rpc.containing_service.file.package.split(".")[1]
        return f"{area}_service"

    @property
    def success(self) -> int:
        """The status of a good answer."""
        if self.rpc.output_type.full_name == contract.EMPTY:
            return 204
        return 201 if self.verb == "POST" and self.rpc.name.startswith("Create") else 200

    @property
    def is_stream(self) -> bool:
        """Whether the answer is many messages, one after the other."""
        return bool(self.rpc.server_streaming)

    @property
    def max_age_s(self) -> int:
        """How long an answer may be kept that anyone gets; 0 for not at all."""
        options: rest_pb2.Cache = self.rpc.GetOptions().Extensions[rest_pb2.cache]
        return options.max_age_s if self.verb == "GET" else 0

    @property
    def max_body_bytes(self) -> int:
        """How large the body may be, if that is more than elsewhere; or else 0."""
        limit: int = self.rpc.GetOptions().Extensions[rest_pb2.max_body_bytes]
        return limit

    @property
    def path_fields(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.template)

    @property
    def header_fields(self) -> dict[str, str]:
        """Fields that a request header fills: `{"idempotency_key": "Idempotency-Key"}`."""
        fields = self.rpc.input_type.fields
        return {f.name: header for f in fields if (header := contract.header_of(f))}

    @property
    def body_field(self) -> FieldDescriptor | None:
        """The one field that the body fills, unless the body is the whole message."""
        return self.rpc.input_type.fields_by_name[self.body] if self.body.strip("*") else None

    @property
    def open_fields(self) -> dict[str, FieldDescriptor]:
        """What the path and headers leave to the body (of `body: "*"`), or else to the query."""
        taken = {*self.path_fields, *self.header_fields, contract.UPDATE_MASK, self.body}
        return {f.name: f for f in self.rpc.input_type.fields if f.name not in taken}


def routes(methods: Iterable[MethodDescriptor]) -> list[Route]:
    """The routes of these RPCs; an RPC without a `google.api.http` option has none."""
    found = []
    for rpc in methods:
        options = rpc.GetOptions()
        if not options.HasExtension(annotations_pb2.http):
            continue
        rule = options.Extensions[annotations_pb2.http]
        found += [_route(rpc, binding) for binding in (rule, *rule.additional_bindings)]
    return found


def _route(rpc: MethodDescriptor, rule: http_pb2.HttpRule) -> Route:
    verb = rule.WhichOneof("pattern") or ""
    template: str = getattr(rule, verb, "")
    route = Route(verb.upper(), template, rule.body, rpc, access_of(rpc))
    if not _TEMPLATE.fullmatch(template):
        raise ValueError(f"{rpc.full_name}: the gateway cannot read the path {template!r}.")
    if route.is_stream and route.verb != "GET":
        raise ValueError(f"{rpc.full_name}: only a GET can be answered with a stream.")
    if missing := set(route.path_fields) - set(rpc.input_type.fields_by_name):
        raise ValueError(f"{rpc.full_name}: no fields for the path's {sorted(missing)}.")
    return route


@dataclass(slots=True)
class _Node:
    """Where the paths with a common beginning part ways."""

    literals: dict[str, "_Node"] = field(default_factory=dict)
    variable: "_Node | None" = None
    # What ends here: for each custom verb ("" for none), its routes by HTTP method.
    ends: dict[str, dict[str, Route]] = field(default_factory=dict)


class RouteTable:
    """Finds routes by path, segment by segment; a literal segment wins over a variable one."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        path, _, custom_verb = route.template.partition(":")
        node = self._root
        for segment in path.split("/")[1:]:
            if segment.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment, _Node())
        verbs = node.ends.setdefault(custom_verb, {})
        if route.verb in verbs:
            raise ValueError(f"{route.verb} {route.template} is routed twice.")
        verbs[route.verb] = route

    def find(self, raw_path: bytes) -> tuple[dict[str, Route], list[str]]:
        """The routes of a path by HTTP method, and the values of their path fields, in order.

        Raises:
            RouteNotFound: the path leads nowhere.
            InvalidRequest: the path is not percent-encoded UTF-8, or contains a NUL.
        """
        if not raw_path.startswith(b"/") or len(raw_path) > _MAX_PATH_BYTES:
            raise RouteNotFound
        path, _, custom_verb = raw_path[1:].partition(b":")
        if b"/" in custom_verb:
            raise RouteNotFound
        segments = [_decode(segment) for segment in path.split(b"/")]
        if "" in segments:
            raise RouteNotFound
        for verbs, values in _walk(self._root, segments, _decode(custom_verb)):
            return verbs, values
        raise RouteNotFound


def _walk(
    node: _Node, segments: list[str], custom_verb: str
) -> Iterator[tuple[dict[str, Route], list[str]]]:
    if not segments:
        if custom_verb in node.ends:
            yield node.ends[custom_verb], []
        return
    first, rest = segments[0], segments[1:]
    if first in node.literals:
        yield from _walk(node.literals[first], rest, custom_verb)
    if node.variable:
        for verbs, values in _walk(node.variable, rest, custom_verb):
            yield verbs, [first, *values]


def _decode(segment: bytes) -> str:
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        violation = FieldViolation("path", "is not percent-encoded UTF-8 without NUL")
        raise InvalidRequest(f"The path {violation.description}.", violations=(violation,))
    return text
