"""Tickets come free, and who waits for them gets one mail that says so, while it is true."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from tessera.notification.v1 import notification_pb2
from tessera.ticket.v1 import event_pb2, hold_pb2, messages_pb2, waitlist_entry_pb2

from notification_service.notifications.consumers import WAITLIST_ENTRY_OFFERED
from tests.integration.notification_service.sales import Offer, message, offer, offer_announcement
from tests.integration.notification_service.support import (
    PostOffice,
    dead_letters,
    eventually,
    in_state,
)
from tests.unit.notification_service.reading import html_part, text_part


async def test_an_offer_brings_one_mail_that_says_what_is_kept_and_how_to_buy_it(
    office: PostOffice,
) -> None:
    offered = await office.offer(count=2, seats=("12", "13"))

    notification = await office.sent(offered)

    [mail] = office.mails()
    assert mail["From"] == "Verona Nights <tickets@example.org>"
    assert mail["To"] == "Grace Guest <grace@example.org>"
    assert mail["Subject"] == "2 tickets for Jazz on the River are kept for you"
    assert mail["Message-ID"] == f"<{notification.id}@example.org>"
    assert not list(mail.iter_attachments())
    for part in (text_part(mail), html_part(mail)):
        for fact in ("Arena di Verona", "Early bird", "€100.00", offered.hold.id, "Europe/Rome"):
            assert fact in part
        for seat in ("Stalls, row 4, seat 12", "Stalls, row 4, seat 13"):
            assert seat in part


async def test_the_mail_links_to_the_storefront_if_there_is_one(closed_office: PostOffice) -> None:
    office = closed_office
    office.variables["TESSERA_STOREFRONT_URL"] = "https://tickets.example.org/holds/{hold_id}"
    async with office.open():
        offered = await office.offer()
        await office.sent(offered)

    [mail] = office.mails()
    url = f"https://tickets.example.org/holds/{offered.hold.id}"
    assert url in text_part(mail)
    assert f'href="{url}"' in html_part(mail)


async def test_the_log_says_what_was_sent_and_about_which_entry(office: PostOffice) -> None:
    sold, offered = await office.sell(), await office.offer()

    receipt, notification = await office.sent(sold), await office.sent(offered)

    assert notification.kind == notification_pb2.NOTIFICATION_KIND_WAITLIST_OFFER
    assert notification.organizer_id == offered.event.organizer_id
    assert notification.waitlist_entry_id == offered.entry.id
    assert notification.order_id == ""
    assert notification.recipient == "grace@example.org"
    assert receipt.kind == notification_pb2.NOTIFICATION_KIND_RECEIPT
    assert receipt.waitlist_entry_id == ""
    everything = (await office.notifications()).notifications
    assert {each.id for each in everything} == {receipt.id, notification.id}


async def test_a_message_delivered_twice_brings_one_mail(office: PostOffice) -> None:
    offered = office.sales.add_offer(offer())
    for _ in range(2):
        await office.broker.publish(offer_announcement(offered, "msg_one"))
    other = await office.offer()

    await office.sent(offered)
    await office.sent(other)

    assert len(office.mails()) == 2


async def test_two_messages_about_one_entry_bring_one_mail(office: PostOffice) -> None:
    offered = office.sales.add_offer(offer())
    await asyncio.gather(*(office.broker.publish(offer_announcement(offered)) for _ in range(5)))
    other = await office.offer()

    await office.sent(offered)
    await office.sent(other)

    assert len(office.mails()) == 2


def bought(of: Offer) -> None:
    of.entry.state = waitlist_entry_pb2.WAITLIST_ENTRY_STATE_CONVERTED
    of.hold.state = hold_pb2.HOLD_STATE_CONVERTED


def given_up(of: Offer) -> None:
    of.entry.state = waitlist_entry_pb2.WAITLIST_ENTRY_STATE_CANCELLED
    of.hold.state = hold_pb2.HOLD_STATE_RELEASED


def expired(of: Offer) -> None:
    of.entry.state = waitlist_entry_pb2.WAITLIST_ENTRY_STATE_OFFER_EXPIRED
    of.hold.state = hold_pb2.HOLD_STATE_EXPIRED


def called_off(of: Offer) -> None:
    of.event.state = event_pb2.EVENT_STATE_CANCELLED


def due(of: Offer) -> None:
    of.hold.expires_at.FromDatetime(of.hold.expires_at.ToDatetime() - timedelta(hours=1))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (bought, "The offered tickets are bought already."),
        (given_up, "The offer was given up."),
        (expired, "The offer has expired."),
        (due, "The offer has expired."),
        (called_off, "The event is no longer on sale."),
    ],
)
async def test_an_offer_that_is_gone_is_not_mailed_and_the_log_says_why(
    office: PostOffice, spoil: Callable[[Offer], None], why: str
) -> None:
    offered = office.sales.add_offer(offer())
    spoil(offered)
    await office.broker.publish(offer_announcement(offered))

    notification = await office.about(offered, in_state("DEAD"))

    assert notification.last_error == why
    assert not notification.HasField("next_attempt_at")
    assert office.mails() == []


async def test_ticket_service_away_only_delays_the_mail(office: PostOffice) -> None:
    office.sales.away = True
    offered = await office.offer()
    await office.about(offered, lambda notification: bool(notification.last_error))

    office.sales.away = False
    await office.sent(offered)

    assert len(office.mails()) == 1


async def test_an_offer_that_lapses_while_the_mail_server_is_down_is_not_mailed_any_more(
    office: PostOffice,
) -> None:
    await office.close_mail_server()
    offered = await office.offer()
    await office.about(offered, lambda notification: bool(notification.last_error))
    expired(offered)
    await office.open_mail_server()

    assert (await office.about(offered, in_state("DEAD"))).last_error == "The offer has expired."
    assert office.mails() == []


async def test_an_admin_has_an_offer_sent_again_to_the_address_it_has_by_then(
    office: PostOffice,
) -> None:
    offered = await office.offer(email="mistyped@", organizer_id="org_1")
    dead = await office.about(offered, in_state("DEAD"))
    offered.entry.customer.email = "grace@example.org"

    await office.resend(dead.id, office.admin("org_1"))

    assert (await office.sent(offered)).recipient == "grace@example.org"


async def test_the_log_can_be_filtered_by_entry(office: PostOffice) -> None:
    one, other = await office.offer(), await office.offer()
    for each in (one, other):
        await office.sent(each)
    page = await office.notifications(waitlist_entry_id=one.entry.id, state=2)
    assert [each.waitlist_entry_id for each in page.notifications] == [one.entry.id]
    assert not (await office.notifications(order_id=one.entry.id)).notifications


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"waitlist_entry_id": "wle_1", "event_id": "evt_1"}',
        b'{"waitlist_entry_id": "wle\\u0000", "event_id": "evt_1", "organizer_id": "org_1"}',
        b'{"waitlist_entry_id": 7}',
    ],
    ids=range(6),
)
async def test_a_message_that_says_nothing_rests_with_the_dead_letters(
    office: PostOffice, body: bytes
) -> None:
    await office.broker.publish(message(body, kind=messages_pb2.WaitlistEntryOffered))

    async def rests() -> bool:
        return await dead_letters(office, WAITLIST_ENTRY_OFFERED.queue) == 1

    await eventually(rests)
    assert not (await office.notifications()).notifications


async def test_an_entry_that_nobody_knows_is_given_up(office: PostOffice) -> None:
    await office.broker.publish(offer_announcement(offered := offer()))
    office.sales.offered[offered.event.id] = offered
    notification = await office.about(offered, in_state("DEAD"))
    assert notification.last_error == "There is no such entry."
