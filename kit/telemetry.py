"""What ties the log lines of one request together, in every part that it passes through."""

import logging
import secrets
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, TextIO

import orjson
import structlog

request_id: ContextVar[str] = ContextVar("request_id", default="")
traceparent: ContextVar[str] = ContextVar("traceparent", default="")  # W3C Trace Context

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def new_traceparent() -> str:
    """A new trace (https://www.w3.org/TR/trace-context/), not sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def configure_logging(level: str = "INFO", stream: TextIO | None = None) -> None:
    """One line of JSON per event on standard error, or colours when a person is looking."""
    stream = stream or sys.stderr
    renderer: Any = (
        # Not the rich traceback, which shows local variables: passwords among them.
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if stream.isatty()
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    structlog.configure(
        processors=[
            _add_request,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    logging.basicConfig(level=logging.WARNING, stream=stream)


def _json(event: Any, **_options: Any) -> str:
    return orjson.dumps(event, default=repr).decode()


def _add_request(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if request := request_id.get():
        event["request_id"] = request
    return event
