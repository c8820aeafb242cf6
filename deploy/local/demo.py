"""`make demo`: a sale over REST, step by step.

Read it as the tutorial: the calls come in the order in which an organizer, a customer and the door
make them, and nothing here knows more than they do.
"""

import mailbox
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import Any, NoReturn

import httpx

from deploy.local.environment import given
from kit.settings import Environment, InvalidSetting

WAIT_S = 30
CARD = "pm_card_visa"  # Stripe's test card that always works

Json = dict[str, Any]


def main() -> None:
    """Play the sale, and say what happens."""
    try:
        environment = Environment(given())
        port = environment.integer("HTTP_PORT", 8080, low=1, high=65_535)
        mail_dir = environment.path("DATA_DIR", "var") / "mail"
    except InvalidSetting as error:
        sys.exit(str(error))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=15) as http:
        try:
            _Demo(http, mail_dir).play()
        except httpx.ConnectError:
            sys.exit(f"Nothing answers on port {port}: run `make run` in another terminal first.")
        except httpx.TransportError as error:
            sys.exit(f"The call failed ({error}): does `make run` still go on?")


class _Demo:
    def __init__(self, http: httpx.Client, mail_dir: Path) -> None:
        self._http = http
        self._mail_dir = mail_dir
        self._step = 0

    def play(self) -> None:
        """The organizer sells, the customer buys, the door admits."""
        admin = self._organizer()
        hall = self._hall(admin)
        event = self._event(admin, hall)
        order = self._purchase(event)
        ticket = self._tickets(order)
        self._mail(order)
        self._door(admin, event, ticket)
        print("\nThat was a sale. The reference of all calls is at /docs.")

    def _organizer(self) -> str:
        email, password = f"{secrets.token_hex(4)}@theatre.example", secrets.token_urlsafe(12)
        self._say("An organizer registers, with its first admin")
        person = {"email": email, "password": password, "full_name": "Ada Admin"}
        self._call("POST", "/v1/users", {"organizer_name": "Little Theatre", **person})
        self._say("The admin signs in")
        credentials = {"email": email, "password": password}
        session = self._call("POST", "/v1/sessions", credentials)
        return str(session["access_token"])

    def _hall(self, admin: str) -> Json:
        self._say("She describes her theatre")
        address = "Main Street 1, Vienna"
        venue = self._call(
            "POST", "/v1/venues", {"name": "Little Theatre", "address": address}, admin
        )
        halls = f"/v1/venues/{venue['id']}/halls"
        hall = self._call("POST", halls, {"name": "Great Hall"}, admin)
        self._say(
            "… with its 300 seats: ten rows of stalls, five of balcony, two wheelchair places"
        )
        self._call("PUT", f"{halls}/{hall['id']}/layout", _layout(), admin)
        return hall

    def _event(self, admin: str, hall: Json) -> Json:
        self._say("She creates an event")
        day = datetime.now(UTC) + timedelta(days=30)
        starts_at = day.replace(hour=18, minute=30, second=0, microsecond=0)
        event = self._call(
            "POST",
            "/v1/events",
            {
                "title": "Hamlet",
                "location": "Little Theatre, Main Street 1, Vienna",
                "starts_at": starts_at.isoformat(),
                "ends_at": (starts_at + timedelta(hours=3)).isoformat(),
                "time_zone": "Europe/Vienna",
                "currency_code": "EUR",
            },
            admin,
        )
        self._say("… adds tickets to it")
        zones = []
        for zone, amount in (("Stalls", "25.00"), ("Balcony", "15.00")):
            price = {"currency_code": "EUR", "amount": amount}
            values = {"name": zone, "price": price, "total_stock": 0, "max_per_order": 8}
            path = f"/v1/events/{event['id']}/ticket_types"
            ticket_type = self._call("POST", path, values, admin)
            zones.append({"zone": zone, "ticket_type_id": ticket_type["id"]})
        self._say("… seats it in the hall, so that each zone's seats are the stock of its tickets")
        seat_map = {"hall_id": hall["id"], "zones": zones}
        self._call("POST", f"/v1/events/{event['id']}/seat_map", seat_map, admin)
        self._say("… and publishes it")
        return self._call("POST", f"/v1/events/{event['id']}:publish", {}, admin)

    def _purchase(self, event: Json) -> Json:
        self._say("A customer, who never registered, holds the best two seats that are together")
        items = [{"ticket_type_id": event["ticket_types"][0]["id"], "quantity": 2}]
        hold = self._call("POST", "/v1/holds", {"event_id": event["id"], "items": items})
        seats = ", ".join(_place(seat) for item in hold["items"] for seat in item["seats"])
        print(f"     {seats}, off sale until {hold['expires_at']}, {_amount(hold['total'])}")
        self._say("… and orders them")
        customer = {"email": "grace@customer.example", "full_name": "Grace Guest"}
        order = self._call("POST", "/v1/orders", {"hold_id": hold["id"], "customer": customer})
        self._say("… and pays with a card, as Stripe.js does in the browser")
        self._confirm(order["payment"])
        paid = self._wait(
            "the order to be paid",
            lambda: self._order(order, state="PAID"),
        )
        print(f"     order {paid['code']} is {paid['state']}")
        return {**paid, "access_token": order["access_token"]}

    def _confirm(self, payment: Json) -> None:
        secret = str(payment["client_secret"])
        url = f"{payment['api_base']}/v1/payment_intents/{secret.partition('_secret_')[0]}/confirm"
        print(f"     POST {url}")
        if payment["api_base"] == "https://api.stripe.com":
            sys.exit("A real Stripe account is set: confirm this payment with Stripe.js.")
        answer = httpx.post(
            url,
            auth=(payment["publishable_key"], ""),
            data={"client_secret": secret, "payment_method": CARD},
        )
        if answer.is_error:
            _fail(answer)

    def _order(self, order: Json, *, state: str) -> Json | None:
        headers = {"Authorization": f"Bearer {order['access_token']}"}
        answer = self._http.get(f"/v1/orders/{order['id']}", headers=headers)
        if answer.is_error:
            _fail(answer)
        found: Json = answer.json()
        return found if found["state"] == state else None

    def _tickets(self, order: Json) -> Json:
        self._say("The customer sees the tickets, with the order's own token")
        path = f"/v1/orders/{order['id']}/tickets"
        tickets = self._call("GET", path, None, order["access_token"])["tickets"]
        for ticket in tickets:
            print(f"     {ticket['code']}  {_place(ticket['seat'])}, {ticket['holder_name']}")
        return dict(tickets[0])

    def _mail(self, order: Json) -> None:
        if not self._mail_dir.is_dir():
            print(f"\n     (No mail folder at {self._mail_dir}: mail went to a real server.)")
            return
        self._say("The receipt arrives by mail, with the tickets as a PDF")
        mail = self._wait("the mail", lambda: _find_mail(self._mail_dir, str(order["code"])))
        print(f"     To: {mail['To']}\n     Subject: {mail['Subject']}")
        names = [part.get_filename() for part in mail.walk() if part.get_filename()]
        print(f"     attached: {', '.join(map(str, names))}, in {self._mail_dir}")

    def _door(self, admin: str, event: Json, ticket: Json) -> None:
        self._say("At the door the ticket is scanned, and then once more")
        for _ in range(2):
            scan = {"ticket_code": ticket["code"], "event_id": event["id"]}
            checked = self._call("POST", "/v1/check_ins", scan, admin)
            print("    ", checked["result"], checked.get("reason", ""), end="\n")
        self._say("The organizer looks at the figures")
        found = self._call("GET", f"/v1/events/{event['id']}/insights", None, admin)
        print(
            f"     sold {found['sold']}, revenue {_amount(found['revenue'])},"
            f" remaining {found['remaining']}, admitted {found['admitted']}"
        )

    def _say(self, what: str) -> None:
        self._step += 1
        print(f"\n{self._step:>3}. {what}")

    def _call(self, method: str, path: str, body: Json | None = None, token: str = "") -> Json:
        print(f"     {method} {path}")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self._http.request(method, path, json=body, headers=headers)
        if answer.is_error:
            _fail(answer)
        found: Json = answer.json()
        return found

    def _wait(self, what: str, look: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if found := look():
                return found
            time.sleep(0.1)
        sys.exit(f"Waited {WAIT_S} s for {what} in vain; the log of `make run` says more.")


def _layout() -> Json:
    """A small theatre, best rows first; two places in the stalls are kept for wheelchairs."""
    stalls = [_row("Stalls", number, y=number) for number in range(1, 11)]
    balcony = [_row("Balcony", number, y=number + 14) for number in range(1, 6)]
    for seat in stalls[-1]["seats"][:2]:
        seat["block_reason"] = "WHEELCHAIR"
    return {
        "zones": [{"name": "Stalls"}, {"name": "Balcony"}],
        "sections": [{"name": "Stalls", "rows": stalls}, {"name": "Balcony", "rows": balcony}],
    }


def _row(zone: str, number: int, y: int) -> Json:
    """Twenty seats, with an aisle in the middle."""
    seats = [
        {"number": str(seat), "x": seat + (seat > 10), "y": y, "aisle": seat == 10}
        for seat in range(1, 21)
    ]
    return {"name": str(number), "zone": zone, "seats": seats}


def _place(seat: Json) -> str:
    return f"{seat['section']}, row {seat['row']}, seat {seat['number']}"


def _find_mail(mail_dir: Path, order_code: str) -> Message | None:
    box = mailbox.Maildir(mail_dir, create=False)
    for key in box.iterkeys():
        mail = message_from_bytes(box.get_bytes(key), policy=default)
        if order_code in str(mail["Subject"]):
            return mail
    return None


def _amount(money: Json) -> str:
    return f"{money['amount']} {money['currency_code']}"


def _fail(answer: httpx.Response) -> NoReturn:
    sys.exit(f"     {answer.status_code} {answer.text}")


if __name__ == "__main__":
    main()
