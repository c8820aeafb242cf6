"""The waiting list as people live it: join a sold-out event, get a mail, buy what it keeps.

Through HTTP, with a real PostgreSQL, a real RabbitMQ, the Stripe sandbox and real SMTP.
"""

import re
from email.message import EmailMessage

from tests.support import shop
from tests.support.mesh import LocalMesh, until
from tests.support.shop import Json, Shop, bearer, read, refused


async def _join(mesh: LocalMesh, event: Json, email: str, quantity: int = 1) -> Json:
    customer = {"email": email, "full_name": "Grace Guest"}
    wish = {
        "ticket_type_id": event["ticket_types"][0]["id"],
        "quantity": quantity,
        "customer": customer,
    }
    return read(await mesh.http.post(f"/v1/events/{event['id']}/waitlist_entries", json=wish))


async def _look(mesh: LocalMesh, entry: Json) -> Json:
    return read(await mesh.http.get(f"/v1/waitlist_entries/{entry['id']}"))


async def _in_state(mesh: LocalMesh, entry: Json, state: str) -> Json:
    async def look() -> Json | None:
        found = await _look(mesh, entry)
        return found if found["state"] == state else None

    found = await until(look)
    assert found is not None
    return found


async def _mail_to(mesh: LocalMesh, email: str) -> EmailMessage:
    async def look() -> list[EmailMessage]:
        return [mail for mail in mesh.mails() if email in str(mail["To"])]

    return (await until(look))[0]


async def _add_stock(organizer: Shop, event: Json, total_stock: int) -> None:
    path = f"/v1/events/{event['id']}/ticket_types/{event['ticket_types'][0]['id']}"
    change = {"total_stock": total_stock}
    read(await organizer.mesh.http.patch(path, headers=organizer.headers, json=change))


async def test_who_waits_is_mailed_when_stock_is_added_and_buys_what_is_kept(
    mesh: LocalMesh,
) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(title="Sold-out Hamlet", price="50.00", stock=1)
    await shop.buy(mesh, event)
    entry = await _join(mesh, event, "grace@waiting.example", quantity=2)
    assert entry["state"] == "WAITING"
    assert "hold_id" not in entry
    assert "customer" not in entry

    await _add_stock(organizer, event, 3)

    offered = await _in_state(mesh, entry, "OFFERED")
    mail = await _mail_to(mesh, "grace@waiting.example")
    assert mail["Subject"] == "2 tickets for Sold-out Hamlet are kept for you"
    text = mail.get_body(("plain",))
    assert text is not None
    [hold_id] = set(re.findall(r"hold_[0-9a-z]{26}", text.get_content()))
    assert hold_id == offered["hold_id"]
    shown = await organizer.get(f"/v1/events/{event['id']}")
    assert shown["ticket_types"][0]["remaining"] == 0

    held = read(await mesh.http.get(f"/v1/holds/{hold_id}"))
    assert held["total"] == {"currency_code": "EUR", "amount": "100.00"}
    ordered = await shop.order(mesh, held, email="grace@waiting.example")
    assert (await shop.pay(mesh, ordered)).status_code == 200
    await shop.order_in_state(mesh, ordered, "PAID")

    await _in_state(mesh, entry, "CONVERTED")
    again = await mesh.http.delete(f"/v1/waitlist_entries/{entry['id']}")
    refused(again, 409, "WAITLIST_ENTRY_CONVERTED")
    path = f"/v1/orders/{ordered['id']}/tickets"
    tickets = read(await mesh.http.get(path, headers=bearer(ordered["access_token"])))
    assert len(tickets["tickets"]) == 2

    log = await organizer.get("/v1/notifications", waitlist_entry_id=entry["id"])
    [mailed] = log["notifications"]
    assert (mailed["kind"], mailed["state"]) == ("WAITLIST_OFFER", "SENT")
    assert mailed["recipient"] == "grace@waiting.example"
    offers = [each for each in mesh.mails_about("Sold-out Hamlet are kept") if each["To"]]
    assert len(offers) == 1


async def test_an_offer_that_is_given_up_goes_to_the_next_who_is_mailed_too(
    mesh: LocalMesh,
) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(title="Hamlet again", stock=1)
    held = await shop.hold(mesh, event)
    emails = [f"{name}@waiting.example" for name in ("first", "second")]
    first, second = [await _join(mesh, event, email) for email in emails]

    read(await mesh.http.delete(f"/v1/holds/{held['id']}"))
    await _in_state(mesh, first, "OFFERED")
    await _mail_to(mesh, emails[0])
    left = read(await mesh.http.delete(f"/v1/waitlist_entries/{first['id']}"))

    assert left["state"] == "CANCELLED"
    await _in_state(mesh, second, "OFFERED")
    assert "A ticket for Hamlet again" in str((await _mail_to(mesh, emails[1]))["Subject"])


async def test_the_organizer_sees_who_waits_and_the_public_does_not(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(stock=1)
    await shop.hold(mesh, event)
    entry = await _join(mesh, event, "secret@waiting.example")
    path = f"/v1/events/{event['id']}/waitlist_entries"

    line = await organizer.get(path, state="WAITING")

    [listed] = line["waitlist_entries"]
    assert listed["customer"] == {"email": "secret@waiting.example", "full_name": "Grace Guest"}
    refused(await mesh.http.get(path), 401, "TOKEN_MISSING")
    other = await Shop.open(mesh)
    refused(await mesh.http.get(path, headers=other.headers), 404, "EVENT_NOT_FOUND")
    assert "secret" not in (await mesh.http.get(f"/v1/waitlist_entries/{entry['id']}")).text


async def test_who_could_buy_is_told_to(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(stock=2)
    body = {
        "ticket_type_id": event["ticket_types"][0]["id"],
        "quantity": 2,
        "customer": {"email": "grace@waiting.example", "full_name": "Grace Guest"},
    }
    answer = await mesh.http.post(f"/v1/events/{event['id']}/waitlist_entries", json=body)
    problem = refused(answer, 409, "NOT_SOLD_OUT")
    assert problem["detail"] == "These tickets are on sale: buy them instead."
