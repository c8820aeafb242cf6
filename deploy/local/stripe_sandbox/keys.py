"""Who calls: the secret key, or a page with the publishable key."""

import base64
import binascii
import hmac
from typing import Literal

from starlette.requests import Request

from deploy.local.stripe_sandbox.errors import JsonObject, StripeError, unauthorized
from deploy.local.stripe_sandbox.settings import Keys

Caller = Literal["secret", "publishable"]


def authenticate(request: Request, given: JsonObject, keys: Keys) -> Caller:
    """Accepts Bearer, Basic with the key as user name, and Stripe.js's `key` parameter.

    Raises:
        StripeError: 401.
    """
    parameter = given.pop("key", None)
    key = _key(request) or parameter
    if not isinstance(key, str) or not key:
        raise unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization"
            " header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    if hmac.compare_digest(key.encode(), keys.secret_key.encode()):
        return "secret"
    if hmac.compare_digest(key.encode(), keys.publishable_key.encode()):
        return "publishable"
    raise unauthorized(f"Invalid API Key provided: {key[:8]}{'*' * 12}{key[-4:]}")


def secret_key_required() -> StripeError:
    return unauthorized(
        "This API call cannot be made with a publishable API key. Please use a secret API key.",
        code="secret_key_required",
    )


def _key(request: Request) -> str | None:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip()
        case "basic":
            try:
                return base64.b64decode(credentials).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                return None
    return None
