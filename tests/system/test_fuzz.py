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
from tests.support.shop import Json, Shop, ticket_type

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

    def __init__(self, organizer: Shop, ids: Json) -> None:
        self.organizer, self._ids = organizer, ids
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
        """The parameters in the path or the query; those in the path are mostly there."""
        parameters = self._document["paths"][path][method].get("parameters", [])
        known, some = self._ids, TEXT.filter(bool)
        return {
            each["name"]: st.just(known[each["name"]]) | some if each["name"] in known else some
            for each in parameters
            if each["in"] == place
        }

    def _like(self, schema: Json) -> SearchStrategy[Any]:
        if reference := schema.get("$ref"):
            name = reference.rpartition("/")[2]
            return self._like(self._document["components"]["schemas"][name])
        if "properties" in schema:
            known = {
                name: self._like(each) | st.just(self._ids.get(name)) | SCALARS
                for name, each in schema["properties"].items()
            }
            return st.fixed_dictionaries(known) | st.fixed_dictionaries({}, optional=known)
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
    kind = event["ticket_types"][0]["id"]
    ids = {"event_id": event["id"], "ticket_type_id": kind, "hold_id": held["id"]}
    more = {"order_id": ordered["id"], "email": "grace@customer.example", "currency_code": "EUR"}
    found = Api(organizer, {**ids, **more, "price": ticket_type()["price"]})
    yield found
    found.http.close()


def _send(
    api: Api, data: DataObject, method: str, path: str, headers: dict[str, str], **body: Any
) -> None:
    parts = {n: data.draw(some, n) for n, some in api.values(method, path, "path").items()}
    query = {n: data.draw(some, n) for n, some in api.values(method, path, "query").items()}
    for name, part in parts.items():
        path = path.replace(f"{{{name}}}", quote(part, safe=""))
    answer = api.http.request(
        method.upper(), path, params=query, headers={**api.organizer.headers, **headers}, **body
    )
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
    method, path = data.draw(st.sampled_from(api.operations("post", "patch")), "route")
    body = data.draw(api.bodies(method, path), "body")
    _send(api, data, method, path, content=json.dumps(body), headers=JSON)


@FUZZ
@given(data=st.data())
def test_no_path_or_query_breaks_a_route(api: Api, data: DataObject) -> None:
    method, path = data.draw(st.sampled_from(api.operations("get")), "route")
    _send(api, data, method, path, headers={})
