"""The mails that people get when something else happens to their order than that it is paid.

Through HTTP, with a real PostgreSQL, a real RabbitMQ, the Stripe sandbox and real SMTP.
"""

import re
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

from icalendar import Calendar

from tests.support import shop
from tests.support.mesh import LocalMesh, until
from tests.support.shop import Json, Shop, bearer, read


async def _mail(mesh: LocalMesh, subject: str, code: str = "") -> EmailMessage:
    """The mail whose subject begins so, about the order with this code."""

    async def look() -> list[EmailMessage]:
        return [mail for mail in mesh.mails_about(code) if str(mail["Subject"]).startswith(subject)]

    return (await until(look))[0]


def _text(mail: EmailMessage) -> str:
    """The text part, once it is sure that the HTML part says the same in other lines."""
    parts = [mail.get_body((kind,)) for kind in ("plain", "html")]
    text, html = [part.get_content() if part else "" for part in parts]
    words = re.sub(r"<[^>]+>", " ", html)
    for line in text.splitlines()[2:4]:
        assert line.split(".")[0] in words
    return " ".join(text.split())


def _calendar(mail: EmailMessage) -> tuple[str, Any]:
    """What a calendar is told to do, and with which entry."""
    [part] = [each for each in mail.walk() if each.get_content_type() == "text/calendar"]
    assert isinstance(part, EmailMessage)
    calendar = Calendar.from_ical(part.get_content())
    [entry] = calendar.walk("VEVENT")
    return str(calendar["METHOD"]), entry


async def test_a_declined_card_is_told_with_the_time_that_is_left(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(title="Declined Hamlet")
    ordered = await shop.order(mesh, await shop.hold(mesh, event))
    await shop.pay(mesh, ordered, card="pm_card_chargeDeclinedInsufficientFunds")

    mail = await _mail(mesh, "Your payment for Declined Hamlet was declined", ordered["code"])

    text = _text(mail)
    assert "your payment of €25.00" in text
    assert "not enough money" in text
    assert "Nothing was charged." in text


async def test_a_refund_is_told_with_its_amount_reason_and_tickets(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(title="Refunded Hamlet")
    paid = await shop.buy(mesh, event, quantity=2)
    listed = await organizer.get(f"/v1/orders/{paid['id']}/tickets")
    refund = {"ticket_ids": [listed["tickets"][1]["id"]], "reason": "A pillar stands there."}
    await organizer.post(f"/v1/orders/{paid['id']}/refunds", refund)

    mail = await _mail(mesh, "€25.00 for Refunded Hamlet", paid["code"])

    text = _text(mail)
    assert "The organizer writes: A pillar stands there." in text
    assert "Ticket 2: Stalls" in text
    assert "Ticket 1" not in text


async def test_a_changed_event_is_told_to_who_has_tickets_and_to_their_calendars(
    mesh: LocalMesh,
) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(title="Moved Hamlet", location="The old hall")
    paid = await shop.buy(mesh, event)
    before = _calendar(await _mail(mesh, "Your ticket for Moved Hamlet", paid["code"]))
    starts_at, ends_at = (
        datetime.fromisoformat(event[name]) + timedelta(days=1) for name in ("starts_at", "ends_at")
    )
    change = {
        "location": "The new hall",
        "starts_at": starts_at.isoformat(),
        "ends_at": ends_at.isoformat(),
    }
    path = f"/v1/events/{event['id']}"
    changed = read(await mesh.http.patch(path, headers=organizer.headers, json=change))

    mail = await _mail(mesh, "Moved Hamlet has changed", paid["code"])

    assert "Now: The new hall Before: The old hall" in _text(mail)
    method, entry = _calendar(mail)
    assert (before[0], method) == ("PUBLISH", "PUBLISH")
    assert entry["UID"] == before[1]["UID"]
    assert entry["SEQUENCE"] == changed["version"] > before[1]["SEQUENCE"]
    assert entry.start == starts_at.replace(microsecond=0)


async def test_a_cancelled_event_is_told_and_the_money_is_on_its_way(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(title="Cancelled Hamlet")
    paid = await shop.buy(mesh, event)
    published = _calendar(await _mail(mesh, "Your ticket for Cancelled Hamlet", paid["code"]))
    await organizer.post(f"/v1/events/{event['id']}:cancel", {})

    mail = await _mail(mesh, "Cancelled Hamlet is cancelled", paid["code"])

    assert "Your money is on its way: €25.00 goes back to you" in _text(mail)
    method, entry = _calendar(mail)
    assert method == "CANCEL"
    assert entry["UID"] == published[1]["UID"]
    assert entry["SEQUENCE"] > published[1]["SEQUENCE"]
    refund = await _mail(mesh, "€25.00 for Cancelled Hamlet", paid["code"])
    assert "The event is cancelled." in _text(refund)


async def test_a_ticket_that_is_given_on_is_mailed_to_who_gets_it(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(title="Given Hamlet")
    paid = await shop.buy(mesh, event)
    token = bearer(paid["access_token"])
    path = f"/v1/orders/{paid['id']}/tickets"
    [ticket] = read(await mesh.http.get(path, headers=token))["tickets"]
    holder = {"holder_name": "Bob Brown", "holder_email": "bob@given.example"}
    given = read(
        await mesh.http.post(f"{path}/{ticket['id']}:transfer", headers=token, json=holder)
    )

    mail = await _mail(mesh, "A ticket for Given Hamlet is yours now")

    assert "bob@given.example" in str(mail["To"])
    assert [part.get_content_type() for part in mail.iter_attachments()] == [
        "application/pdf",
        "text/calendar",
    ]
    assert given["code"] != ticket["code"]
    log = await organizer.get("/v1/notifications", order_id=paid["id"])
    kinds = {each["kind"]: each["recipient"] for each in log["notifications"]}
    assert kinds["TICKET_TRANSFERRED"] == "bob@given.example"


async def test_who_lost_the_mail_finds_the_order_again_by_a_code(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(title="Lost Hamlet")
    email = f"grace-{event['id'].lower().replace('_', '-')}@lost.example"
    ordered = await shop.order(mesh, await shop.hold(mesh, event), email=email)
    await shop.pay(mesh, ordered)
    await shop.order_in_state(mesh, ordered, "PAID")
    lookup = read(await mesh.http.post("/v1/order_lookups", json={"email": email}))

    async def arrived() -> list[EmailMessage]:
        return [
            mail for mail in mesh.mails() if mail["To"] == email and "code" in str(mail["Subject"])
        ]

    [code] = re.findall(r"\b[0-9]{6}\b", _text((await until(arrived))[0]))
    path = f"/v1/order_lookups/{lookup['id']}:redeem"
    found: Json = read(await mesh.http.post(path, json={"code": code}))
    assert [each["code"] for each in found["orders"]] == [ordered["code"]]
