"""A payment succeeds, and the customer gets one mail with the tickets."""

import asyncio

import pytest
from tessera.ticket.v1 import ticket_pb2

from tests.integration.notification_service.sales import announcement, message, sale
from tests.integration.notification_service.support import (
    PostOffice,
    dead_letters,
    eventually,
    in_state,
)
from tests.unit.notification_service.reading import (
    attachment,
    html_part,
    pages,
    qr_codes,
    text_of,
    text_part,
)


async def test_a_payment_brings_one_mail_with_the_tickets(office: PostOffice) -> None:
    sold = await office.sell(count=3, price_minor=5000, email="ada@example.org")

    notification = await office.sent(sold)

    [mail] = office.mails()
    assert mail["From"] == "Verona Nights <tickets@example.org>"
    assert mail["To"] == "Ada Lovelace <ada@example.org>"
    assert mail["Subject"].startswith("Your tickets for Jazz on the River")
    assert mail["Message-ID"] == f"<{notification.id}@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Delivered-To"] == "ada@example.org"
    assert mail["Return-Path"] == "<tickets@example.org>"
    assert "Total: €150.00" in text_part(mail)
    assert "€150.00" in html_part(mail)
    name, pdf = attachment(mail)
    assert name == f"tickets-{sold.order.code}.pdf"
    assert [qr_codes(page) for page in pages(pdf)] == [[code] for code in sold.codes]
    for fact in ("Jazz on the River", "Arena di Verona", "Early bird", "€50.00", sold.order.code):
        assert fact in text_of(pdf)


async def test_the_log_says_what_was_sent(office: PostOffice) -> None:
    sold = await office.sell()

    notification = await office.sent(sold)

    assert notification.organizer_id == sold.order.organizer_id
    assert notification.order_id == sold.order.id
    assert notification.recipient == "ada@example.org"
    assert notification.subject == office.mails()[0]["Subject"]
    assert notification.attempts == 1
    assert notification.last_error == ""
    assert not notification.HasField("next_attempt_at")
    assert notification.sent_at.ToDatetime() >= notification.created_at.ToDatetime()


async def test_a_free_order_gets_its_tickets_too(office: PostOffice) -> None:
    sold = await office.sell(count=1, price_minor=0)
    await office.sent(sold)

    [mail] = office.mails()
    assert "Total: €0.00" in text_part(mail)


async def test_money_without_decimals_is_shown_without(office: PostOffice) -> None:
    sold = await office.sell(count=2, price_minor=5000, currency_code="JPY")
    await office.sent(sold)

    [mail] = office.mails()
    assert "Total: ¥10,000" in text_part(mail)


async def test_a_message_delivered_twice_brings_one_mail(office: PostOffice) -> None:
    sold = office.sales.add(sale())
    for _ in range(2):
        await office.broker.publish(announcement(sold, "msg_one"))
    other = await office.sell()

    await office.sent(sold)
    await office.sent(other)

    assert len(office.mails()) == 2


async def test_two_messages_about_one_order_bring_one_mail(office: PostOffice) -> None:
    sold = office.sales.add(sale())
    await asyncio.gather(*(office.broker.publish(announcement(sold)) for _ in range(5)))
    other = await office.sell()

    await office.sent(sold)
    await office.sent(other)

    assert len(office.mails()) == 2


async def test_many_sales_at_once_bring_each_customer_their_own_tickets(
    office: PostOffice,
) -> None:
    customers = [f"customer-{number}@example.org" for number in range(12)]
    sales = await asyncio.gather(*(office.sell(count=1, email=each) for each in customers))
    for sold in sales:
        await office.sent(sold)

    mails = {mail["Delivered-To"]: mail for mail in office.mails()}
    assert len(mails) == len(office.mails()) == len(customers)
    for customer, sold in zip(customers, sales, strict=True):
        _, pdf = attachment(mails[customer])
        assert [qr_codes(page) for page in pages(pdf)] == [sold.codes]


async def test_replicas_share_the_mail(closed_office: PostOffice) -> None:
    office = closed_office
    async with office.open(), office.open():
        sales = await asyncio.gather(*(office.sell(count=1) for _ in range(12)))
        for sold in sales:
            await office.sent(sold)

    assert len(office.mails()) == 12


async def test_cancelled_tickets_are_not_sent(office: PostOffice) -> None:
    sold = sale(count=2)
    sold.tickets[0].state = ticket_pb2.TICKET_STATE_CANCELLED
    office.sales.add(sold)
    await office.broker.publish(announcement(sold))
    await office.sent(sold)

    _, pdf = attachment(office.mails()[0])
    assert [qr_codes(page) for page in pages(pdf)] == [[sold.codes[1]]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"order_id": 7}',
        b'{"order_id": "ord_1", "event_id": "evt_1"}',
        b'{"order_id": "ord\\u0000", "event_id": "evt_1", "organizer_id": "org_1"}',
        b'{"total":' * 5000,
    ],
    ids=range(9),
)
async def test_a_message_that_says_nothing_rests_with_the_dead_letters(
    office: PostOffice, body: bytes
) -> None:
    await office.broker.publish(message(body))

    async def rests() -> bool:
        return await dead_letters(office) == 1

    await eventually(rests)
    assert not (await office.notifications()).notifications


async def test_what_a_newer_payment_service_adds_is_no_hindrance(office: PostOffice) -> None:
    sold = office.sales.add(sale())
    body = announcement(sold).body.replace(b"{", b'{"added_in_2040": [1], ', 1)
    await office.broker.publish(message(body))

    await office.sent(sold)


async def test_other_services_away_only_delay_a_mail(office: PostOffice) -> None:
    office.sales.away = True
    sold = await office.sell()
    waiting = await office.about(sold, lambda notification: bool(notification.last_error))
    assert in_state("PENDING")(waiting)
    assert waiting.HasField("next_attempt_at")

    office.sales.away = False
    notification = await office.sent(sold)

    assert notification.attempts > 1
    assert len(office.mails()) == 1
