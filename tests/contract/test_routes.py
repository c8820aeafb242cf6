"""The protos hold every route of the design, and every RPC keeps the house's rules."""

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import MethodDescriptor
from tessera.rest.v1 import rest_pb2

from gateway import contract
from gateway.routes import Route, RouteTable, _route, routes
from kit.auth import access_of
from kit.rpc_client import MAX_MESSAGE_BYTES

METHODS = list(contract.methods())
ROUTES = routes(METHODS)

# What a person reads in the design and its issues, one line each; refunds are later work.
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
GET    /v1/events/{event_id}/quotas
POST   /v1/events/{event_id}/quotas
GET    /v1/events/{event_id}/quotas/{quota_id}
PATCH  /v1/events/{event_id}/quotas/{quota_id}
DELETE /v1/events/{event_id}/quotas/{quota_id}
GET    /v1/venues
POST   /v1/venues
GET    /v1/venues/{venue_id}
PATCH  /v1/venues/{venue_id}
DELETE /v1/venues/{venue_id}
GET    /v1/venues/{venue_id}/halls
POST   /v1/venues/{venue_id}/halls
GET    /v1/venues/{venue_id}/halls/{hall_id}
PATCH  /v1/venues/{venue_id}/halls/{hall_id}
DELETE /v1/venues/{venue_id}/halls/{hall_id}
GET    /v1/venues/{venue_id}/halls/{hall_id}/layout
PUT    /v1/venues/{venue_id}/halls/{hall_id}/layout
POST   /v1/venues/{venue_id}/halls/{hall_id}/sections
GET    /v1/venues/{venue_id}/halls/{hall_id}/sections/{section_id}
PATCH  /v1/venues/{venue_id}/halls/{hall_id}/sections/{section_id}
DELETE /v1/venues/{venue_id}/halls/{hall_id}/sections/{section_id}
GET    /v1/events/{event_id}/seat_map
POST   /v1/events/{event_id}/seat_map
DELETE /v1/events/{event_id}/seat_map
GET    /v1/events/{event_id}/seat_states
POST   /v1/events/{event_id}/seat_map:block
POST   /v1/events/{event_id}/seat_map:unblock
GET    /v1/events/{event_id}/blocked_seats
GET    /v1/events/{event_id}/availability
GET    /v1/events/{event_id}/availability:watch
GET    /v1/events/{event_id}/waitlist_entries
POST   /v1/events/{event_id}/waitlist_entries
GET    /v1/waitlist_entries/{waitlist_entry_id}
DELETE /v1/waitlist_entries/{waitlist_entry_id}
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
def test_a_put_takes_a_condition(route: Route) -> None:
    if route.verb == "PUT":
        assert route.header_fields["if_match"] == "If-Match"


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_only_what_anyone_may_read_is_kept(route: Route) -> None:
    options = route.rpc.GetOptions().Extensions[rest_pb2.cache]
    if options.max_age_s:
        assert route.verb == "GET"
        assert route.access.anyone
        assert not route.is_stream


@pytest.mark.parametrize("route", ROUTES, ids=_name)
def test_a_body_may_be_no_larger_than_a_message_between_services(route: Route) -> None:
    assert route.max_body_bytes <= MAX_MESSAGE_BYTES


def test_only_a_get_is_answered_with_a_stream() -> None:
    watch = next(route.rpc for route in ROUTES if route.is_stream)
    rule = http_pb2.HttpRule(post="/v1/watches", body="*")
    with pytest.raises(ValueError, match="only a GET"):
        _route(watch, rule)


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
    bounded = {
        "ListTicketTypes",
        "ListOrderTickets",
        "ListQuotas",
        "ListHalls",
        "ListPayments",
        "ListRefunds",
    }
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
