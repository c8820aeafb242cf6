"""The page a customer is sent to by their bank: say yes, or say no."""

from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.local.stripe_sandbox.admin import Admin
from deploy.local.stripe_sandbox.currencies import money
from deploy.local.stripe_sandbox.errors import JsonObject

PATH = "/_sandbox/authenticate/{id}"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Test payment</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 15vh auto; padding: 1rem }}
button {{ font: inherit; padding: .6rem 1rem; margin: 0 .5rem .5rem 0; cursor: pointer }}
</style>
</head>
<body>
<h1>Test payment</h1>
<p>{text}</p>
{form}
</body>
</html>
"""
FORM = """<form method="post">
<button name="outcome" value="succeeded">Complete</button>
<button name="outcome" value="failed">Fail</button>
</form>"""


class BankPage:
    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    def routes(self) -> list[Route]:
        return [
            Route(PATH, self.show, methods=["GET"]),
            Route(PATH, self.submit, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        intent = self._admin.awaiting_authentication(request.path_params["id"])
        if intent["status"] != "requires_action":
            return _done(intent)
        amount = money(intent["amount"], intent["currency"])
        text = f"Do you confirm paying {amount} {intent['currency'].upper()}?"
        return HTMLResponse(PAGE.format(text=escape(text), form=FORM))

    async def submit(self, request: Request) -> Response:
        """Both buttons lead back to the shop, which asks Stripe what came of it."""
        outcome = dict(parse_qsl((await request.body()).decode())).get("outcome")
        intent = self._admin.finish_authentication(
            request.path_params["id"], outcome == "succeeded"
        )
        return _done(intent)


def _done(intent: JsonObject) -> Response:
    if intent["_return_url"]:
        return RedirectResponse(_return_url(intent), status_code=303)
    text = f"This payment is {intent['status']}. You can close this page."
    return HTMLResponse(PAGE.format(text=escape(text), form=""))


def _return_url(intent: JsonObject) -> str:
    """The shop's address with what Stripe adds to it."""
    failed = intent["status"] == "requires_payment_method"
    added = {
        "payment_intent": intent["id"],
        "payment_intent_client_secret": intent["client_secret"],
        "redirect_status": "failed" if failed else "succeeded",
    }
    parts = urlsplit(intent["_return_url"])
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *added.items()])
    return urlunsplit(parts._replace(query=query))
