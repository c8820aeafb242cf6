"""What becomes of a mail when the mail server refuses, falls silent or is away."""

import asyncio

import pytest
from tessera.payment.v1 import order_pb2

from deploy.local.smtp_sink import Moment
from kit.database import Database, service_url
from notification_service.mailing.operations import LEASE
from notification_service.notifications import store
from tests.integration.notification_service.sales import announcement, sale
from tests.integration.notification_service.support import (
    Notification,
    PostOffice,
    eventually,
    in_state,
)


def failed(notification: Notification) -> bool:
    return bool(notification.last_error)


async def test_mail_follows_when_the_server_is_back(office: PostOffice) -> None:
    await office.close_mail_server()
    sales = await asyncio.gather(*(office.sell() for _ in range(6)))
    waiting = await office.about(sales[0], lambda each: each.attempts >= 2)
    assert in_state("PENDING")(waiting)
    assert waiting.HasField("next_attempt_at")
    assert waiting.last_error == "The mail server cannot be reached."
    assert waiting.recipient == "ada@example.org"

    await office.open_mail_server()

    for sold in sales:
        await office.sent(sold)
    assert len(office.mails()) == 6
    notification = await office.sent(sales[0])
    assert notification.attempts >= 2
    assert notification.last_error == ""


@pytest.mark.parametrize("at", ["RCPT", "DATA"])
async def test_a_mail_refused_for_good_is_dead_at_once(office: PostOffice, at: Moment) -> None:
    office.sink.refuse(550, "5.1.1 No such person", at=at)
    sold = await office.sell(email="nobody@example.org")

    notification = await office.about(sold, in_state("DEAD"))

    assert notification.attempts == 1
    assert notification.last_error == "The mail server refused: 550 5.1.1 No such person"
    assert notification.recipient == "nobody@example.org"
    assert not notification.HasField("next_attempt_at")
    assert not notification.HasField("sent_at")


@pytest.mark.parametrize(("code", "at"), [(451, "RCPT"), (451, "DATA"), (550, "MAIL")])
async def test_a_mail_refused_for_now_is_tried_again(
    office: PostOffice, code: int, at: Moment
) -> None:
    office.sink.refuse(code, "Later", at=at)
    sold = await office.sell()
    waiting = await office.about(sold, failed)
    assert in_state("PENDING")(waiting)
    assert f"{code} Later" in waiting.last_error

    office.sink.accept()

    assert (await office.sent(sold)).attempts >= 2
    assert len(office.mails()) == 1


async def test_one_refused_recipient_keeps_nobody_else_waiting(office: PostOffice) -> None:
    office.sink.refuse(450, "Mailbox busy")
    busy = await office.sell(email="busy@example.org")
    await office.about(busy, failed)
    office.sink.accept()

    await office.sent(await office.sell())
    await office.sent(busy)


async def test_a_server_that_falls_silent_is_tried_again(office: PostOffice) -> None:
    office.sink.hang(at="MAIL")
    sold = await office.sell()
    waiting = await office.about(sold, failed)
    assert in_state("PENDING")(waiting)
    assert waiting.last_error == "The mail server did not answer in time."

    office.sink.accept()

    assert (await office.sent(sold)).attempts >= 2


async def test_two_mails_after_a_lost_answer_can_be_told_to_be_one(office: PostOffice) -> None:
    office.sink.refuse(451, "Lost my thread", at="STORED")
    sold = await office.sell()
    await office.about(sold, failed)
    office.sink.accept()
    await office.sent(sold)

    first, *others = office.mails()
    assert others
    for other in others:
        assert other.as_bytes() == first.as_bytes()


@pytest.mark.parametrize("email", ["", "ada", "jörg@example.org", "a@b, c@d", "x@y\r\nBcc: z@y"])
async def test_an_address_that_no_mail_can_have_is_dead_at_once(
    office: PostOffice, email: str
) -> None:
    sold = await office.sell(email=email)

    notification = await office.about(sold, in_state("DEAD"))

    assert "address" in notification.last_error
    assert not office.mails()


async def test_an_order_that_is_not_there_is_dead_at_once(office: PostOffice) -> None:
    sold = sale()
    await office.broker.publish(announcement(sold))

    notification = await office.about(sold, in_state("DEAD"))

    assert "no such" in notification.last_error


async def test_an_order_that_is_no_longer_paid_gets_no_tickets(office: PostOffice) -> None:
    sold = office.sales.add(sale())
    sold.order.state = order_pb2.ORDER_STATE_CANCELLED
    await office.broker.publish(announcement(sold))

    notification = await office.about(sold, in_state("DEAD"))

    assert notification.last_error == "The order has no valid tickets."
    assert not office.mails()


async def test_a_mail_in_hand_when_the_service_stops_goes_out_after_the_next_start(
    closed_office: PostOffice,
) -> None:
    office = closed_office
    async with office.open():
        office.sink.hang(at="MAIL")
        sold = await office.sell()
        await office.about(sold, lambda notification: notification.attempts == 1)
    assert not office.mails()
    office.sink.accept()

    async with office.open():
        await office.sent(sold)

    assert len(office.mails()) == 1


async def test_mail_announced_while_the_service_is_stopped_goes_out(
    closed_office: PostOffice,
) -> None:
    office = closed_office
    async with office.open():
        await office.sent(await office.sell())
    sold = await office.sell()

    async with office.open():
        await office.sent(sold)

    assert len(office.mails(sold)) == 1


async def test_what_a_dead_process_had_claimed_is_sent_by_another(
    closed_office: PostOffice,
) -> None:
    office = closed_office
    async with office.open():
        await office.close_mail_server()
        sold = await office.sell()
        await office.about(sold, failed)
    url = service_url(office.variables["TESSERA_DATABASE_URL"], "notification")
    database = Database(url, pool_size=1)

    async def claimed() -> bool:
        async with database.begin() as tx:
            return bool(await store.claim_due(tx, "clm_of_the_dead", 1, LEASE / 10))

    await eventually(claimed)
    await database.close()
    await office.open_mail_server()

    async with office.open():
        await office.sent(sold)

    assert len(office.mails()) == 1
