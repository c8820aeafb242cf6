"""The way of a request: who calls, what was asked to go wrong, seen before?, do it, answer."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deploy.local.stripe_sandbox import forms, idempotency
from deploy.local.stripe_sandbox.calls import Call, Operation
from deploy.local.stripe_sandbox.errors import JsonObject, StripeError, api_error, invalid_request
from deploy.local.stripe_sandbox.faults import CallFault, Faults
from deploy.local.stripe_sandbox.keys import authenticate, secret_key_required
from deploy.local.stripe_sandbox.rendering import expanded, for_browser, public
from deploy.local.stripe_sandbox.settings import API_VERSION, Keys
from deploy.local.stripe_sandbox.store import Cause, Store, Transaction, new_id

MAX_BODY_BYTES = 1 << 20
MAX_LOGGED_CALLS = 1000
LONGEST_HANG_SECONDS = 60.0
EDGE_STATUSES = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: JsonObject
    headers: dict[str, str] = field(default_factory=dict)


class Disconnect(Response):
    """Promises an answer and sends none of it, so that the server breaks the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        headers = [(b"content-length", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": True})


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request on its way through."""

    id: str
    call: Call
    attempt: idempotency.Attempt | None
    fault: CallFault | None

    @property
    def cause(self) -> Cause:
        return Cause(self.id, self.attempt.key if self.attempt else None)

    def is_spoiled(self, when: str, *actions: str) -> bool:
        return self.fault is not None and self.fault.when == when and self.fault.action in actions


class Api:
    """`on_change` is told after every call that may have left something to send or to do."""

    def __init__(
        self, store: Store, keys: Keys, faults: Faults, on_change: Callable[[], None]
    ) -> None:
        self._store = store
        self._keys = keys
        self._faults = faults
        self._on_change = on_change
        self._in_flight = idempotency.InFlight()
        self.log: deque[JsonObject] = deque(maxlen=MAX_LOGGED_CALLS)

    async def handle(
        self, request: Request, operation: Operation, *, is_open_to_pages: bool
    ) -> Response:
        """Answer `request` by doing `operation`, with everything Stripe does around it."""
        request_id = new_id("req")
        entry: JsonObject = {
            "time": time.time(),
            "request_id": request_id,
            "method": request.method,
            "path": request.url.path,
            "idempotency_key": request.headers.get("idempotency-key"),
        }
        self.log.append(entry)
        try:
            incoming = await self._read(request, request_id, is_open_to_pages=is_open_to_pages)
            entry["params"] = {**incoming.call.params}
            entry["fault"] = incoming.fault.action if incoming.fault else None
            answer = await self._answer(request, incoming, operation)
        except StripeError as error:
            answer = Answer(error.status, error.body(request_id), _advice(error.status))
        if answer is None:
            entry["status"] = None
            return Disconnect()
        entry["status"] = answer.status
        entry["is_replayed"] = "Idempotent-Replayed" in answer.headers
        return _response(request, request_id, answer)

    async def _read(self, request: Request, request_id: str, *, is_open_to_pages: bool) -> Incoming:
        given = await _params(request)
        caller = authenticate(request, given, self._keys)
        if caller == "publishable" and not is_open_to_pages:
            raise secret_key_required()
        path = request.url.path
        call = Call(
            path=path,
            path_params=request.path_params,
            params=given,
            is_public=caller == "publishable",
            origin=str(request.base_url).rstrip("/"),
        )
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        attempt = idempotency.attempt(key, path, given)
        return Incoming(request_id, call, attempt, self._faults.take_for_call(request.method, path))

    async def _answer(
        self, request: Request, incoming: Incoming, operation: Operation
    ) -> Answer | None:
        """None: the caller hears nothing."""
        with self._in_flight.hold(incoming.attempt):
            if incoming.fault is not None and incoming.fault.action == "delay":
                await self._faults.hold_back(incoming.fault.seconds)
            if incoming.is_spoiled("before", "drop", "hang"):
                answer = None
            else:
                answer = self._perform(incoming, operation)
                self._on_change()
        if incoming.is_spoiled("before", "hang") or incoming.is_spoiled("after", "hang"):
            assert incoming.fault is not None
            await _silence(request, incoming.fault.seconds)
            return None
        return None if incoming.is_spoiled("after", "drop") else answer

    def _perform(self, incoming: Incoming, operation: Operation) -> Answer:
        """Replay, or do it and remember the answer, all in one transaction."""
        replayed = self._recall(incoming)
        if replayed is not None:
            return replayed
        if incoming.is_spoiled("before", "error"):
            return self._fail(incoming)
        answer = self._do(incoming, operation)
        if incoming.is_spoiled("after", "error"):
            return self._fail(incoming)
        return answer

    def _recall(self, incoming: Incoming) -> Answer | None:
        if incoming.attempt is None:
            return None
        remembered = idempotency.recall(self._store.reading(), incoming.attempt)
        if remembered is None:
            return None
        headers = {
            "Idempotent-Replayed": "true",
            "Original-Request": remembered.request_id,
            **_advice(remembered.status),
        }
        return Answer(remembered.status, remembered.body, headers)

    def _do(self, incoming: Incoming, operation: Operation) -> Answer:
        call = incoming.call
        try:
            with self._store.transaction(incoming.cause) as tx:
                try:
                    body = public(operation(tx, call))
                    body = expanded(tx, for_browser(body) if call.is_public else body, call.params)
                    answer = Answer(200, body)
                except StripeError as error:
                    if not error.keeps_effects:
                        raise
                    answer = _refusal(error, incoming)
                _remember(tx, incoming, answer)
        except StripeError as error:
            answer = _refusal(error, incoming)
            if error.is_remembered:
                with self._store.transaction() as tx:
                    _remember(tx, incoming, answer)
        return answer

    def _fail(self, incoming: Incoming) -> Answer:
        """An injected error. Stripe's edge forgets what it answered; a 500 is replayed."""
        assert incoming.fault is not None
        answer = _refusal(_injected(incoming.fault), incoming)
        if answer.status not in EDGE_STATUSES:
            with self._store.transaction() as tx:
                _remember(tx, incoming, answer)
        return answer


def _remember(tx: Transaction, incoming: Incoming, answer: Answer) -> None:
    if incoming.attempt is not None:
        idempotency.remember(tx, incoming.attempt, incoming.id, answer.status, answer.body)


def _refusal(error: StripeError, incoming: Incoming) -> Answer:
    body = error.body(incoming.id)
    intent = body["error"].get("payment_intent")
    if intent is not None and incoming.call.is_public:
        body["error"]["payment_intent"] = for_browser(intent)
    return Answer(error.status, body, _advice(error.status))


def _injected(fault: CallFault) -> StripeError:
    if fault.status == 429:
        return invalid_request(
            "Request rate limit exceeded. Learn more about rate limits here"
            " https://stripe.com/docs/rate-limits.",
            code=fault.code or "rate_limit",
            status=429,
        )
    if fault.status < 500:
        return invalid_request(
            "The sandbox was asked to refuse this call.", code=fault.code, status=fault.status
        )
    return api_error(fault.status)


def _advice(status: int) -> dict[str, str]:
    """Whether Stripe's own clients should try again, where the status alone does not say."""
    advice = {409: "true", 500: "false"}.get(status)
    return {} if advice is None else {"Stripe-Should-Retry": advice}


async def _params(request: Request) -> JsonObject:
    if request.method == "GET":
        return forms.parse_form(request.url.query)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise invalid_request("Request body too large.", status=413)
    try:
        return forms.parse_form(body.decode())
    except UnicodeDecodeError as error:
        raise invalid_request("Invalid UTF-8 in request body.") from error


async def _silence(request: Request, seconds: float) -> None:
    """Say nothing until the caller hangs up, or for at most `seconds` (0: for long)."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds or LONGEST_HANG_SECONDS):
            while (await request.receive())["type"] != "http.disconnect":
                pass


def _response(request: Request, request_id: str, answer: Answer) -> Response:
    headers = {
        "Request-Id": request_id,
        "Stripe-Version": request.headers.get("stripe-version", API_VERSION),
        **answer.headers,
    }
    if key := request.headers.get("idempotency-key"):
        headers["Idempotency-Key"] = key
    return Response(
        orjson.dumps(answer.body, option=orjson.OPT_INDENT_2),
        status_code=answer.status,
        headers=headers,
        media_type="application/json",
    )
