"""One request to the API, read and authenticated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy.local.stripe_sandbox.errors import JsonObject
from deploy.local.stripe_sandbox.store import Transaction


@dataclass(frozen=True, slots=True)
class Call:
    """`is_public`: made with the publishable key, as a page with Stripe.js does.

    `origin` is where the caller reached the sandbox; redirects lead back there.
    """

    path: str
    path_params: Mapping[str, str]
    params: JsonObject
    is_public: bool
    origin: str


# Runs inside one transaction and answers the object as stored. It may raise StripeError.
Operation = Callable[[Transaction, Call], JsonObject]
