"""Whatever is sent to any route, the answer is a success or a problem, and never 5xx."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, SearchStrategy

from tests.support import shop
from tests.support.shop import Json, Shop, hamlet, ticket_type

EXAMPLES = 200
JSON = {"Content-Type": "application/json"}
TEXT = st.text(max_size=40)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.sampled_from(
        [
            0,
            -1,
            2**31,
            2**63,
            "1",
            "",
            "\0",
            "\ud800",
            "1.00",
            "-1.00",
            "EUR",
            "2030-01-01T00:00:00Z",
            "*",
        ]
    )
)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
)


class Api:
    """What `/openapi.json` says of the routes, and what is there to be asked for."""

    def __init__(self, organizer: Shop, values: Json) -> None:
        self.organizer, self._values = organizer, values
        self.http = httpx.Client(base_url=organizer.mesh.url, timeout=30)
        self._document = self.http.get("/openapi.json").json()

    def operations(self, *methods: str) -> list[tuple[str, str]]:
        paths = self._document["paths"].items()
        return [(verb, path) for path, verbs in paths for verb in verbs if verb in methods]

    def bodies(self, method: str, path: str) -> SearchStrategy[Any]:
        """Anything, or what the schema asks for with some of it replaced by anything."""
        content = self._document["paths"][path][method].get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        return ANYTHING if schema is None else self._like(schema) | ANYTHING

    def values(self, method: str, path: str, place: str) -> dict[str, SearchStrategy[Any]]:
        """The parameters in the path or the query."""
        parameters = self._document["paths"][path][method].get("parameters", [])
        some = TEXT.filter(bool)
        return {
            each["name"]: self._right(each["name"], each["schema"]).map(str) | some
            for each in parameters
            if each["in"] == place
        }

    def _right(self, name: str, schema: Json) -> SearchStrategy[Any]:
        return st.just(self._values[name]) if name in self._values else self._like(schema)

    def _like(self, schema: Json) -> SearchStrategy[Any]:
        if reference := schema.get("$ref"):
            name = reference.rpartition("/")[2]
            return self._like(self._document["components"]["schemas"][name])
        if "properties" in schema:
            properties = schema["properties"].items()
            right = {n: self._right(n, each) for n, each in properties}
            some = st.fixed_dictionaries({}, optional=dict.fromkeys(right, ANYTHING))
            spoiled = st.tuples(st.fixed_dictionaries(right), some)
            return st.fixed_dictionaries(right) | spoiled.map(lambda both: {**both[0], **both[1]})
        if schema.get("type") == "array":
            return st.lists(self._like(schema["items"]), max_size=3)
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if schema.get("type") == "integer":
            return st.integers(schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1))
        if schema.get("format") == "date-time":
            return st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
        return TEXT


@pytest.fixture(scope="module")
async def api(organizer: Shop) -> AsyncIterator[Api]:
    """The API as an admin meets it who has an event, a hold and an order."""
    event = await organizer.event(stock=1000)
    held = await shop.hold(organizer.mesh, event)
    ordered = await shop.order(organizer.mesh, await shop.hold(organizer.mesh, event))
    found = Api(
        organizer,
        {
            "event_id": event["id"],
            "ticket_type_id": event["ticket_types"][0]["id"],
            "hold_id": held["id"],
            "order_id": ordered["id"],
            "email": "grace@customer.example",
            "price": ticket_type()["price"],
            **hamlet(),
        },
    )
    yield found
    found.http.close()


def _send(
    api: Api, data: DataObject, method: str, path: str, headers: dict[str, str], **body: Any
) -> None:
    parts = {n: data.draw(some, n) for n, some in api.values(method, path, "path").items()}
    query = {n: data.draw(some, n) for n, some in api.values(method, path, "query").items()}
    for name, part in parts.items():
        path = path.replace(f"{{{name}}}", quote(part, safe=""))
    sent = {**api.organizer.headers, **headers}
    with api.http.stream(method.upper(), path, params=query, headers=sent, **body) as answer:
        if answer.headers.get("content-type") == "text/event-stream":
            return  # a success that has no end
        answer.read()
    assert answer.status_code < 500, answer.text
    if answer.is_error:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["reason"]


FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@FUZZ
@given(data=st.data())
def test_no_body_breaks_a_route(api: Api, data: DataObject) -> None:
    method, path = data.draw(st.sampled_from(api.operations("post", "put", "patch")), "route")
    body = data.draw(api.bodies(method, path), "body")
    _send(api, data, method, path, content=json.dumps(body), headers=JSON)


@FUZZ
@given(data=st.data())
def test_no_path_or_query_breaks_a_route(api: Api, data: DataObject) -> None:
    method, path = data.draw(st.sampled_from(api.operations("get")), "route")
    _send(api, data, method, path, headers={})
