"""The whole story: an organizer sells, a customer buys, the mail arrives, the door admits.

Through HTTP, with a real PostgreSQL, a real RabbitMQ, the real Stripe SDK against the sandbox, and
real SMTP.
"""

import io
from email.message import EmailMessage

import pypdfium2
import zxingcpp
from pypdf import PdfReader

from tests.support import shop
from tests.support.mesh import LocalMesh, until
from tests.support.shop import Json, Shop, bearer


def _part(mail: EmailMessage, content_type: str) -> EmailMessage:
    return next(
        part
        for part in mail.walk()
        if part.get_content_type() == content_type and isinstance(part, EmailMessage)
    )


def _qr_texts(pdf: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(pdf)
    pages = [page.render(scale=2).to_pil() for page in document]
    return [code.text for page in pages for code in zxingcpp.read_barcodes(page)]


async def _receipt(mesh: LocalMesh, order: Json) -> EmailMessage:
    async def look() -> list[EmailMessage]:
        return mesh.mails_about(order["code"])

    return (await until(look))[0]


async def test_an_unregistered_customer_buys_tickets_and_is_admitted(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(title="Hamlet", price="50.00", stock=10)

    held = await shop.hold(mesh, event, quantity=2)
    assert held["state"] == "ACTIVE"
    assert held["total"] == {"currency_code": "EUR", "amount": "100.00"}
    assert await organizer.remaining(event) == 8

    ordered = await shop.order(mesh, held)
    assert ordered["state"] == "PENDING"
    assert (await shop.pay(mesh, ordered)).json()["status"] == "requires_capture"
    paid = await shop.order_in_state(mesh, ordered, "PAID")
    intent = ordered["payment"]["client_secret"].partition("_secret_")[0]
    charged = (await mesh.stripe.get(f"/v1/payment_intents/{intent}")).json()
    assert (charged["status"], charged["amount_received"]) == ("succeeded", 10_000)

    token = bearer(ordered["access_token"])
    path = f"/v1/orders/{ordered['id']}/tickets"
    tickets = (await mesh.http.get(path, headers=token)).json()["tickets"]
    codes = [ticket["code"] for ticket in tickets]
    assert len(set(codes)) == 2

    mail = await _receipt(mesh, paid)
    assert "grace@customer.example" in str(mail["To"])
    for kind in ("text/plain", "text/html"):
        text = _part(mail, kind).get_content()
        assert "100.00" in text
        assert "Hamlet" in text
        assert paid["code"] in text
    pdf = _part(mail, "application/pdf").get_content()
    assert len(PdfReader(io.BytesIO(pdf)).pages) == 2
    assert sorted(_qr_texts(pdf)) == sorted(codes)

    calendar = _part(mail, "text/calendar").get_content()
    assert "SUMMARY:Hamlet" in calendar
    assert f"UID:{event['id']}.{paid['id']}@" in calendar

    printed = await mesh.http.get(f"{path}.pdf", headers=token)
    assert printed.headers["content-type"] == "application/pdf"
    assert sorted(_qr_texts(printed.content)) == sorted(codes)

    scan = {"ticket_code": codes[0]}
    assert (await organizer.post("/v1/check_ins", scan))["result"] == "ACCEPTED"
    again = await organizer.post("/v1/check_ins", scan)
    assert (again["result"], again["reason"]) == ("REJECTED", "ALREADY_ADMITTED")

    insights = await organizer.get(f"/v1/events/{event['id']}/insights")
    assert (insights["sold"], insights["remaining"], insights["admitted"]) == (2, 8, 1)
    assert insights["revenue"] == {"currency_code": "EUR", "amount": "100.00"}
    assert len(mesh.mails_about(paid["code"])) == 1

    log = await organizer.get("/v1/notifications", order_id=paid["id"])
    assert [mail["state"] for mail in log["notifications"]] == ["SENT"]


async def test_an_admin_sees_what_the_mails_of_an_event_look_like(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(title="Hamlet <in Elsinore>", price="50.00")
    path = f"/v1/events/{event['id']}/notification_previews"

    html = await mesh.http.get(f"{path}/RECEIPT", headers=organizer.headers)
    text = await mesh.http.get(
        f"{path}/EVENT_CHANGED", params={"plain_text": "true"}, headers=organizer.headers
    )

    assert html.headers["content-type"] == "text/html; charset=utf-8"
    assert "Hamlet &lt;in Elsinore&gt;" in html.text
    assert "€100.00" in html.text
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Hamlet <in Elsinore>, for which you have tickets, has changed." in text.text
    stranger = await Shop.open(mesh)
    shop.refused(
        await mesh.http.get(f"{path}/RECEIPT", headers=stranger.headers), 404, "EVENT_NOT_FOUND"
    )
    assert not mesh.mails_about("Elsinore")


async def test_a_free_ticket_is_paid_and_mailed_at_once(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(price="0.00")
    ordered = await shop.order(mesh, await shop.hold(mesh, event))
    assert ordered["state"] == "PAID"
    assert "payment" not in ordered
    assert await _receipt(mesh, ordered)


async def test_a_declined_card_leaves_the_order_open_for_another(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    ordered = await shop.order(mesh, await shop.hold(mesh, await organizer.event()))
    declined = await shop.pay(mesh, ordered, card="pm_card_chargeDeclinedInsufficientFunds")
    assert declined.status_code == 402

    async def decline_is_shown() -> bool:
        payment = (await shop.read_order(mesh, ordered))["payment"]
        return bool(payment["decline_code"] == "insufficient_funds")

    await until(decline_is_shown)
    assert (await shop.pay(mesh, ordered)).status_code == 200
    await shop.order_in_state(mesh, ordered, "PAID")


async def test_a_given_up_order_puts_its_tickets_back_on_sale(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    event = await organizer.event(stock=3)
    ordered = await shop.order(mesh, await shop.hold(mesh, event, quantity=3))
    cancelled = await mesh.http.post(
        f"/v1/orders/{ordered['id']}:cancel", headers=bearer(ordered["access_token"])
    )
    assert cancelled.json()["state"] == "CANCELLED"
    assert await organizer.remaining(event) == 3
    intent = ordered["payment"]["client_secret"].partition("_secret_")[0]

    async def is_void() -> bool:
        found = await mesh.stripe.get(f"/v1/payment_intents/{intent}")
        return bool(found.json()["status"] == "canceled")

    await until(is_void)
