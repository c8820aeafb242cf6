"""The protos hold every route of the design, and every RPC keeps the house's rules."""

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor

from gateway import contract
from gateway.routes import Route, RouteTable, routes
from kit.auth import access_of

METHODS = list(contract.methods())
ROUTES = routes(METHODS)

# What a person reads in the design, one line each; refunds and seats are later work.
DESIGNED = """
POST   /v1/users
POST   /v1/sessions
POST   /v1/sessions:refresh
DELETE /v1/sessions/current
GET    /v1/users/me
GET    /v1/users
GET    /v1/users/{user_id}
PATCH  /v1/users/{user_id}
GET    /.well-known/jwks.json
POST   /v1/tokens:introspect
GET    /v1/events
GET    /v1/events/{event_id}
POST   /v1/events
PATCH  /v1/events/{event_id}
DELETE /v1/events/{event_id}
POST   /v1/events/{event_id}:publish
POST   /v1/events/{event_id}:unpublish
POST   /v1/events/{event_id}:cancel
POST   /v1/events/{event_id}/ticket_types
GET    /v1/events/{event_id}/ticket_types
GET    /v1/events/{event_id}/ticket_types/{ticket_type_id}
PATCH  /v1/events/{event_id}/ticket_types/{ticket_type_id}
DELETE /v1/events/{event_id}/ticket_types/{ticket_type_id}
POST   /v1/holds
GET    /v1/holds/{hold_id}
DELETE /v1/holds/{hold_id}
POST   /v1/orders
GET    /v1/orders/{order_id}
POST   /v1/orders/{order_id}:cancel
GET    /v1/orders/{order_id}/tickets
GET    /v1/orders/{order_id}/tickets.pdf
GET    /v1/orders
POST   /v1/webhooks/stripe
POST   /v1/check_ins
GET    /v1/events/{event_id}/insights
GET    /v1/notifications
POST   /v1/notifications/{notification_id}:resend
"""


def _name(value: Route | MethodDescriptor) -> str:
    return f"{value.verb} {value.template}" if isinstance(value, Route) else value.full_name


@pytest.mark.parametrize("line", DESIGNED.strip().splitlines())
def test_a_designed_route_is_there(line: str) -> None:
    verb, template = line.split()
    assert (verb, template) in {route.key for route in ROUTES}


@pytest.mark.parametrize("rpc", METHODS, ids=_name)
def test_an_rpc_says_who_may_call_it(rpc: MethodDescriptor) -> None:
    access = access_of(rpc)
    assert access.anyone or access.order_token or access.roles or access.services


@pytest.mark.parametrize("rpc", METHODS, ids=_name)
def test_an_rpc_without_a_route_is_for_services_only(rpc: MethodDescriptor) -> None:
    if not rpc.GetOptions().HasExtension(annotations_pb2.http):
        access = access_of(rpc)
        reachable_by = [access.anyone, access.order_token, *access.roles]
        assert not any(reachable_by)


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_a_route_is_reachable_by_someone(route: Route) -> None:
    assert route.access.anyone or route.access.order_token or route.access.roles


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_a_post_takes_an_idempotency_key(route: Route) -> None:
    without = {"IntrospectToken", "ReceiveStripeWebhook"}  # they change nothing; Stripe sends ids
    if route.verb == "POST" and route.rpc.name not in without:
        assert route.header_fields["idempotency_key"] == "Idempotency-Key"


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_a_patch_takes_a_mask_and_a_condition(route: Route) -> None:
    if route.verb == "PATCH":
        assert contract.UPDATE_MASK in route.rpc.input_type.fields_by_name
        assert route.header_fields["if_match"] == "If-Match"
        assert "version" in route.rpc.output_type.fields_by_name


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_an_orders_token_is_only_for_what_names_the_order(route: Route) -> None:
    if route.access.order_token:
        assert "order_id" in route.path_fields


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_a_get_has_no_body_and_everything_else_a_post_says_is_in_it(route: Route) -> None:
    if route.verb in {"GET", "DELETE"}:
        assert not route.body
    else:
        assert route.body


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_a_list_is_read_in_bounded_pages_unless_it_is_bounded_itself(route: Route) -> None:
    bounded = {"ListTicketTypes", "ListOrderTickets"}
    if route.rpc.name.startswith("List") and route.rpc.name not in bounded:
        assert {"page_size", "page_token"} <= set(route.open_fields)
        assert "next_page_token" in route.rpc.output_type.fields_by_name


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_a_route_is_found_by_its_path(route: Route) -> None:
    path = route.template
    for name in route.path_fields:
        path = path.replace(f"{{{name}}}", f"x_{name}")
    found, values = RouteTable(ROUTES).find(path.encode())
    assert found[route.verb] is route
    assert values == [f"x_{name}" for name in route.path_fields]


def test_a_route_that_is_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="is routed twice"):
        RouteTable([*ROUTES, ROUTES[0]])
