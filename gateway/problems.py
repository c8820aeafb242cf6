"""Errors as `application/problem+json` (RFC 9457)."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import orjson
from starlette.responses import Response

from kit import telemetry
from kit.errors import Internal, TesseraError

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = "1"

_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_STATUSES_BY_REASON = {"VERSION_MISMATCH": 412, "IDEMPOTENCY_KEY_REUSED": 422}


class HttpError(TesseraError):
    """A refusal that only HTTP knows."""

    status: ClassVar[int]

    def __init__(self, message: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})


class MethodNotAllowed(HttpError):
    """This address does not take this method; `Allow` lists those it takes."""

    status = 405


class BodyTooSlow(HttpError):
    """The request's body did not arrive in time."""

    status = 408


class BodyTooLarge(HttpError):
    """The request's body is larger than the gateway takes."""

    status = 413


class UriTooLong(HttpError):
    """The address is longer than the gateway takes."""

    status = 414


class UnsupportedMediaType(HttpError):
    """Send JSON, as `Content-Type: application/json`."""

    status = 415


def status_of(error: TesseraError) -> int:
    """The HTTP status that says what happened."""
    if isinstance(error, HttpError):
        return error.status
    return _STATUSES_BY_REASON.get(error.reason) or _STATUSES.get(error.code, 500)


def problem_response(error: TesseraError) -> Response:
    """The answer that tells what went wrong."""
    status = status_of(error)
    headers = dict(error.headers) if isinstance(error, HttpError) else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="tessera"'
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers["Retry-After"] = _retry_after_s(error)
    return Response(problem_json(error), status, headers, MEDIA_TYPE)


def problem_json(error: TesseraError) -> bytes:
    """What went wrong; of what is our own fault, no more than that: the rest is logged."""
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, Internal):
        telemetry.log.error("a service failed", code=error.code, detail=error.message)
        error = Internal()
    problem: dict[str, Any] = {
        "type": f"/docs#{error.reason}",
        "title": _title(error.reason),
        "status": status,
        "detail": error.message,
        "instance": telemetry.request_id.get(),
        "reason": error.reason,
    }
    if error.violations:
        problem["errors"] = [
            {"field": violation.field, "description": violation.description}
            for violation in error.violations
        ]
    if error.metadata:
        problem["metadata"] = error.metadata
    return orjson.dumps(problem)


def _title(reason: str) -> str:
    """`MALFORMED_JSON` in words: "Malformed JSON"."""
    words = reason.replace("_", " ").capitalize()
    return re.sub("json|pdf|uri", lambda found: found[0].upper(), words, flags=re.IGNORECASE)


def _retry_after_s(error: TesseraError) -> str:
    """Whole seconds, as the service says in `retry_after_s`, or else soon."""
    seconds = error.metadata.get("retry_after_s", "")
    return seconds if seconds.isascii() and seconds.isdigit() else _RETRY_AFTER_S
