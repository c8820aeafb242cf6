"""`/_sandbox/…`: make things go wrong, or happen now, and see what happened (see README.md)."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.local.stripe_sandbox import (
    attempts,
    balance,
    charges,
    deliveries,
    disputes,
    refunds,
    schedule,
)
from deploy.local.stripe_sandbox.api import Api
from deploy.local.stripe_sandbox.errors import (
    JsonObject,
    StripeError,
    invalid_request,
    no_such,
)
from deploy.local.stripe_sandbox.faults import MAX_FAULTS, CallFault, Faults, WebhookFault
from deploy.local.stripe_sandbox.rendering import public
from deploy.local.stripe_sandbox.settings import Keys
from deploy.local.stripe_sandbox.store import Store, Transaction
from deploy.local.stripe_sandbox.webhooks import WebhookSender

Fault = TypeVar("Fault", CallFault, WebhookFault)

ACTIONS: dict[type, tuple[str, ...]] = {
    CallFault: ("error", "drop", "hang", "delay"),
    WebhookFault: ("hold", "drop", "delay", "duplicate"),
}


@dataclass(frozen=True, slots=True)
class Admin:
    """Everything a developer at a shell may turn."""

    store: Store
    keys: Keys
    faults: Faults
    api: Api
    sender: WebhookSender
    on_change: Callable[[], None]

    def routes(self) -> list[Route]:
        def route(path: str, endpoint: Any, method: str) -> Route:
            return Route(f"/_sandbox{path}", endpoint, methods=[method])

        return [
            route("", self.show, "GET"),
            route("/calls", self.list_calls, "GET"),
            route("/faults", self.list_faults, "GET"),
            route("/faults", self.add_call_fault, "POST"),
            route("/faults", self.clear_faults, "DELETE"),
            route("/webhooks", self.list_webhooks, "GET"),
            route("/webhooks/endpoint", self.set_endpoint, "POST"),
            route("/webhooks/faults", self.add_webhook_fault, "POST"),
            route("/webhooks/release", self.release, "POST"),
            route("/events/{id}/send", self.send_again, "POST"),
            route("/payment_intents/{id}/authentication", self.authenticate, "POST"),
            route("/payment_intents/{id}/lapse", self.lapse, "POST"),
            route("/payment_intents/{id}/dispute", self.open_dispute, "POST"),
            route("/disputes/{id}/close", self.close_dispute, "POST"),
            route("/refunds/{id}/fail", self.fail_refund, "POST"),
            route("/settle", self.settle, "POST"),
            route("/balance", self.set_balance, "POST"),
        ]

    async def show(self, request: Request) -> Response:
        with self.store.transaction() as tx:
            endpoint = deliveries.endpoint(tx)
        shown = {
            "api_base": str(request.base_url).rstrip("/"),
            "publishable_key": self.keys.publishable_key,
            "webhook_url": endpoint.url,
        }
        return JSONResponse(shown)

    async def list_calls(self, _: Request) -> Response:
        return JSONResponse({"data": list(self.api.log)})

    async def list_faults(self, _: Request) -> Response:
        return self._faults()

    def _faults(self) -> Response:
        shown = {
            "calls": [asdict(fault) for fault in self.faults.calls],
            "webhooks": [asdict(fault) for fault in self.faults.webhooks],
        }
        return JSONResponse(shown)

    async def add_call_fault(self, request: Request) -> Response:
        _add(self.faults.calls, _fault(CallFault, await _body(request)))
        return self._faults()

    async def add_webhook_fault(self, request: Request) -> Response:
        _add(self.faults.webhooks, _fault(WebhookFault, await _body(request)))
        return self._faults()

    async def clear_faults(self, _: Request) -> Response:
        self.faults.clear()
        return self._faults()

    async def list_webhooks(self, _: Request) -> Response:
        with self.store.transaction() as tx:
            return JSONResponse({"data": deliveries.latest(tx)})

    async def set_endpoint(self, request: Request) -> Response:
        given = await _body(request)
        with self.store.transaction() as tx:
            current = deliveries.endpoint(tx)
            url, secret = given.get("url", current.url), given.get("secret", current.secret)
            if not isinstance(url, str | None) or not isinstance(secret, str):
                raise invalid_request("url is a string or null, secret is a string")
            deliveries.set_endpoint(tx, url, secret)
            deliveries.retry_all_now(tx)
        self.on_change()
        return JSONResponse({"url": url})

    async def release(self, request: Request) -> Response:
        """Stop holding webhooks back, and send those held, in order or in reverse."""
        given = await _body(request)
        kept = [fault for fault in self.faults.webhooks if fault.action != "hold"]
        self.faults.webhooks[:] = kept
        order = _one_of(given, "order", ("forward", "reverse"))
        sent = await self.sender.deliver_held("reverse" if order == "reverse" else "forward")
        return JSONResponse({"data": sent})

    async def send_again(self, request: Request) -> Response:
        with self.store.transaction() as tx:
            event = _find(tx, "event", request)
            deliveries.enqueue_again(tx, event)
        self.on_change()
        return JSONResponse(event)

    async def authenticate(self, request: Request) -> Response:
        outcome = _one_of(await _body(request), "outcome", ("succeeded", "failed"))
        intent = self.finish_authentication(request.path_params["id"], outcome == "succeeded")
        return JSONResponse(public(intent))

    def finish_authentication(self, intent_id: str, succeeded: bool) -> JsonObject:
        with self.store.transaction() as tx:
            intent = _load(tx, "payment_intent", intent_id)
            _require(intent, "requires_action")
            attempts.finish_authentication(tx, intent, succeeded=succeeded)
        self.on_change()
        return intent

    def awaiting_authentication(self, intent_id: str) -> JsonObject:
        with self.store.transaction() as tx:
            return _load(tx, "payment_intent", intent_id)

    async def lapse(self, request: Request) -> Response:
        """Let an authorisation run out before its time."""
        with self.store.transaction() as tx:
            intent = _find(tx, "payment_intent", request)
            _require(intent, "requires_capture")
            attempts.lapse(tx, intent["id"])
            intent = _find(tx, "payment_intent", request)
        self.on_change()
        return JSONResponse(public(intent))

    async def open_dispute(self, request: Request) -> Response:
        given = await _body(request)
        reason = _one_of(given, "reason", ("fraudulent", *disputes.REASONS))
        with self.store.transaction() as tx:
            intent = _find(tx, "payment_intent", request)
            _require(intent, "succeeded")
            charge = charges.load(tx, intent["latest_charge"])
            inquiry = given.get("is_inquiry") is True
            amount = given.get("amount")
            if amount is not None and not isinstance(amount, int):
                raise invalid_request("`amount` is in minor units.")
            dispute = disputes.open_dispute(tx, charge, reason, is_inquiry=inquiry, amount=amount)
        self.on_change()
        return JSONResponse(public(dispute))

    async def close_dispute(self, request: Request) -> Response:
        outcome = _one_of(await _body(request), "outcome", ("lost", "won"))
        with self.store.transaction() as tx:
            dispute = _find(tx, "dispute", request)
            if dispute["status"] in disputes.FINAL:
                raise invalid_request("This dispute is already closed")
            disputes.decide(tx, dispute, "won" if outcome == "won" else "lost")
        self.on_change()
        return JSONResponse(public(dispute))

    async def fail_refund(self, request: Request) -> Response:
        """The customer's bank sends a refund back."""
        with self.store.transaction() as tx:
            refund_id = _find(tx, "refund", request)["id"]
            refunds.fail(tx, refund_id)
            refund = _find(tx, "refund", request)
        self.on_change()
        return JSONResponse(public(refund))

    async def settle(self, request: Request) -> Response:
        """Do now what is waiting for time to pass, of one object or of all; lapses stay put."""
        given = await _body(request)
        with self.store.transaction() as tx:
            count = schedule.advance(tx, given.get("object"), but_not="lapse")
        self.on_change()
        return JSONResponse({"settled": count})

    async def set_balance(self, request: Request) -> Response:
        given = await _body(request)
        amount, currency = given.get("amount"), given.get("currency")
        if not isinstance(currency, str) or not (amount is None or isinstance(amount, int)):
            raise invalid_request('Say {"currency": "eur", "amount": 1000}, or null for plenty.')
        with self.store.transaction() as tx:
            balance.set_available(tx, currency.lower(), amount)
        self.on_change()
        return JSONResponse({"currency": currency.lower(), "amount": amount})


async def _body(request: Request) -> JsonObject:
    content = await request.body()
    try:
        given = json.loads(content or b"{}")
    except ValueError as error:
        raise invalid_request("The body is not JSON.") from error
    if not isinstance(given, dict):
        raise invalid_request("The body is not a JSON object.")
    return given


def _fault(kind: type[Fault], given: JsonObject) -> Fault:
    known = {field.name: field for field in fields(kind)}
    for name in given:
        if name not in known:
            raise invalid_request(f"Unknown field {name}; known: {', '.join(known)}", param=name)
    if given.get("action") not in ACTIONS[kind]:
        raise invalid_request(f"action is one of {', '.join(ACTIONS[kind])}", param="action")
    if given.get("when", "before") not in {"before", "after"}:
        raise invalid_request("when is before or after", param="when")
    for name in ("times", "status", "copies", "seconds"):
        value = given.get(name, 1)
        if value is not None and (not isinstance(value, int | float) or value < 0):
            raise invalid_request(f"{name} is a number, not negative", param=name)
    return kind(**given)


def _add(faults: list[Fault], fault: Fault) -> None:
    if len(faults) >= MAX_FAULTS:
        raise invalid_request(f"There are {MAX_FAULTS} faults already; clear some first.")
    faults.append(fault)


def _one_of(given: JsonObject, name: str, allowed: tuple[str, ...]) -> str:
    """The choice made, or the first if none was."""
    chosen = given.get(name, allowed[0])
    if chosen not in allowed:
        raise invalid_request(f"{name} is one of {', '.join(allowed)}", param=name)
    assert isinstance(chosen, str)
    return chosen


def _find(tx: Transaction, kind: str, request: Request) -> JsonObject:
    return _load(tx, kind, request.path_params["id"])


def _load(tx: Transaction, kind: str, object_id: str) -> JsonObject:
    found = tx.get(kind, object_id)
    if found is None:
        raise no_such(kind, object_id)
    return found


def _require(intent: JsonObject, status: str) -> None:
    if intent["status"] != status:
        raise invalid_request(f"{intent['id']} is {intent['status']}, not {status}.", status=409)


async def render_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, StripeError)
    return JSONResponse(error.body("req_sandbox"), status_code=error.status)
