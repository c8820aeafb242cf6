"""What goes wrong, in the shape Stripe says it: https://docs.stripe.com/api/errors."""

from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]

DOCUMENTED_AT = "https://stripe.com/docs/error-codes"


@dataclass(eq=False)
class StripeError(Exception):
    """An answer other than success.

    `keeps_effects`: a declined card leaves a failed charge behind; most errors leave nothing.
    `is_remembered`: under an idempotency key Stripe replays what an operation answered once it
    began, but forgets what never began: bad parameters, rate limits, conflicts.
    """

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None
    details: JsonObject = field(default_factory=dict)
    keeps_effects: bool = False
    is_remembered: bool = False

    def __str__(self) -> str:
        return self.message

    def body(self, request_id: str) -> JsonObject:
        error: JsonObject = {"message": self.message, "type": self.type, **self.details}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = f"{DOCUMENTED_AT}/{self.code.replace('_', '-')}"
        if self.param:
            error["param"] = self.param
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}"
        return {"error": error}


def invalid_request(
    message: str, *, param: str | None = None, code: str | None = None, status: int = 400
) -> StripeError:
    """The request makes no sense as it stands, whatever the state of things."""
    return StripeError(status, "invalid_request_error", message, code=code, param=param)


def refused(message: str, *, code: str | None = None, param: str | None = None) -> StripeError:
    """The request makes sense, but not in the state things are in."""
    return StripeError(
        400, "invalid_request_error", message, code=code, param=param, is_remembered=True
    )


def missing_parameter(param: str) -> StripeError:
    return invalid_request(
        f"Missing required param: {param}.", param=param, code="parameter_missing"
    )


def no_such(kind: str, object_id: str, *, param: str = "id", status: int = 404) -> StripeError:
    """404 where the id is in the address, 400 where it is a parameter."""
    return invalid_request(
        f"No such {kind}: '{object_id}'", param=param, code="resource_missing", status=status
    )


def unexpected_state(message: str, payment_intent: JsonObject) -> StripeError:
    error = refused(message, code="payment_intent_unexpected_state")
    error.details["payment_intent"] = payment_intent
    return error


def unauthorized(message: str, *, code: str | None = None) -> StripeError:
    return StripeError(401, "invalid_request_error", message, code=code)


def api_error(status: int, message: str = "An unknown error occurred") -> StripeError:
    return StripeError(status, "api_error", message)
