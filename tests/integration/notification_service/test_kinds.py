"""What happens to an order, a ticket or an event, and the mail that its customer gets about it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from google.protobuf.message import Message as Proto
from tessera.payment.v1 import messages_pb2, order_lookup_service_pb2, order_pb2, refund_pb2
from tessera.ticket.v1 import event_pb2, ticket_pb2
from tessera.ticket.v1 import messages_pb2 as ticket_messages

from kit import clock
from kit.proto_money import to_proto
from notification_service.mailing.operations import AT_ONCE
from notification_service.notifications.consumers import LISTENERS
from tests.integration.notification_service.sales import Sale, message, sale
from tests.integration.notification_service.support import (
    PostOffice,
    dead_letters,
    eventually,
    in_state,
    refused,
)
from tests.unit.notification_service.reading import (
    attachment,
    calendar,
    calendar_event,
    html_words,
    pages,
    qr_codes,
    text_part,
)


def ids(of: Sale) -> dict[str, str]:
    return {
        "order_id": of.order.id,
        "event_id": of.event.id,
        "organizer_id": of.event.organizer_id,
    }


def waiting(of: Sale) -> Sale:
    """The same order before it is paid."""
    of.order.state = order_pb2.ORDER_STATE_PENDING
    of.order.ClearField("paid_at")
    of.order.expires_at.CopyFrom(clock.timestamp(clock.now() + timedelta(minutes=10)))
    return of


def ended(of: Sale, state: "order_pb2.OrderState.ValueType", reason: str = "") -> Sale:
    of.order.state = state
    of.order.cancel_reason = reason
    return of


async def test_each_declined_attempt_brings_one_mail_while_the_order_waits(
    office: PostOffice,
) -> None:
    sold = office.sales.add(waiting(sale()))
    for payment_id in ("pay_1", "pay_2", "pay_1"):
        failed = messages_pb2.PaymentFailed(
            **ids(sold), payment_id=payment_id, decline_code="expired_card"
        )
        await office.announce(failed)

    async def both_are_sent() -> bool:
        found = await office.of_kind("PAYMENT_FAILED", order_id=sold.order.id, state=2)
        return len(found) == 2

    await eventually(both_are_sent)
    for mail in office.mails():
        assert mail["To"] == "ada@example.org"
        assert mail["Subject"].startswith("Your payment for Jazz on the River was declined")
        assert "The card has expired." in text_part(mail)
        assert "The card has expired." in html_words(mail)
    assert len(office.mails()) == 2


def paid(of: Sale) -> None:
    of.order.state = order_pb2.ORDER_STATE_PAID


def overdue(of: Sale) -> None:
    of.order.expires_at.CopyFrom(clock.timestamp(clock.now() - timedelta(seconds=1)))


@pytest.mark.parametrize("change", [paid, overdue])
async def test_who_has_paid_or_can_no_longer_pay_is_not_told_of_a_declined_attempt(
    office: PostOffice, change: Callable[[Sale], None]
) -> None:
    sold = office.sales.add(waiting(sale()))
    change(sold)
    await office.announce(messages_pb2.PaymentFailed(**ids(sold), payment_id="pay_1"))

    notification = await office.about(sold, in_state("DEAD"))

    assert notification.last_error == "The order no longer waits for a payment."
    assert not office.mails()


async def test_an_expired_order_is_told_of_only_if_that_was_asked_for(office: PostOffice) -> None:
    asked, silent = (
        office.sales.add(ended(waiting(sale()), order_pb2.ORDER_STATE_EXPIRED)) for _ in range(2)
    )
    await office.announce(messages_pb2.OrderExpired(**ids(silent), notify=False))
    await office.announce(messages_pb2.OrderExpired(**ids(asked), notify=True))

    notification = await office.sent(asked, "ORDER_EXPIRED")

    [mail] = office.mails()
    assert mail["Subject"] == notification.subject
    assert mail["Subject"].startswith("Your order for Jazz on the River has expired")
    assert not await office.of_kind(order_id=silent.order.id)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("CANCELLED", "€100.00 of what you paid goes back to you."),
        ("SOLD_OUT", "there were no tickets left for it."),
    ],
)
async def test_a_cancelled_order_says_why_and_where_the_money_is(
    office: PostOffice, reason: str, told: str
) -> None:
    sold = office.sales.add(ended(sale(), order_pb2.ORDER_STATE_CANCELLED, reason))
    sold.order.refunded.CopyFrom(sold.order.total)
    for _ in range(2):
        await office.announce(messages_pb2.OrderCancelled(**ids(sold), reason=reason))

    await office.sent(sold, "ORDER_CANCELLED")

    [mail] = office.mails()
    assert told in text_part(mail)
    assert told in html_words(mail)
    assert calendar(mail)["METHOD"] == "CANCEL"


async def test_a_refund_says_how_much_why_and_which_tickets_it_took(office: PostOffice) -> None:
    sold = office.sales.add(sale(count=3))
    sold.tickets[1].state = ticket_pb2.TICKET_STATE_CANCELLED
    for refund_id, amount in (("re_1", 5000), ("re_2", 1250)):
        office.sales.refunds[refund_id] = refund_pb2.Refund(
            id=refund_id,
            order_id=sold.order.id,
            state=refund_pb2.REFUND_STATE_PENDING,
            origin=refund_pb2.REFUND_ORIGIN_ADMIN,
            amount=to_proto("EUR", amount),
            reason="A pillar stands in the way.",
            ticket_numbers=[2] if refund_id == "re_1" else [],
        )
        for _ in range(2):
            await office.announce(messages_pb2.RefundIssued(**ids(sold), refund_id=refund_id))

    async def both_are_sent() -> bool:
        return len(await office.of_kind("REFUND", order_id=sold.order.id, state=2)) == 2

    await eventually(both_are_sent)
    first, second = sorted(map(text_part, office.mails()), key=lambda text: "€5" not in text)
    assert "€50.00 of what you paid" in first
    assert "The organizer writes: A pillar stands in the way." in first
    assert "Ticket 2: Early bird" in first
    assert "€12.50 of what you paid" in second
    assert "No longer valid" not in second


async def test_a_refund_that_the_bank_sent_back_is_not_promised(office: PostOffice) -> None:
    sold = office.sales.add(sale())
    office.sales.refunds["re_1"] = refund_pb2.Refund(state=refund_pb2.REFUND_STATE_FAILED)
    await office.announce(messages_pb2.RefundIssued(**ids(sold), refund_id="re_1"))

    assert (await office.about(sold, in_state("DEAD"))).last_error == "The refund failed."


def changed(of: Sale, version: int) -> messages_pb2.OrderEventUpdated:
    """The event began a week earlier before, and had no other place."""
    of.event.version = version
    starts_at, ends_at = (
        clock.from_timestamp(time) - timedelta(days=7)
        for time in (of.event.starts_at, of.event.ends_at)
    )
    return messages_pb2.OrderEventUpdated(
        **ids(of),
        event_version=version,
        previous_starts_at=clock.timestamp(starts_at),
        previous_ends_at=clock.timestamp(ends_at),
    )


async def test_each_change_of_an_event_brings_one_mail_with_the_old_and_the_new(
    office: PostOffice,
) -> None:
    sold = office.sales.add(sale())
    for _ in range(2):
        await office.announce(changed(sold, 2))
    first = await office.sent(sold, "EVENT_CHANGED")
    [mail] = office.mails()
    assert first.subject == f"Jazz on the River has changed (order {sold.order.code})"
    for part in (" ".join(text_part(mail).split()), html_words(mail)):
        assert "Friday, November 14, 2036, 7:30 PM" in part
        assert "Before: Friday, November 7, 2036, 7:30 PM" in part
        assert "Before: Arena" not in part
    assert calendar(mail)["METHOD"] == "PUBLISH"
    assert calendar_event(mail)["SEQUENCE"] == 2

    await office.announce(changed(sold, 3))

    async def both_are_sent() -> bool:
        return len(await office.of_kind("EVENT_CHANGED", order_id=sold.order.id, state=2)) == 2

    await eventually(both_are_sent)
    assert [calendar_event(each)["SEQUENCE"] for each in office.mails()] == [2, 3]


async def test_a_change_is_not_told_from_what_was_known_before_it(office: PostOffice) -> None:
    sold = await office.sell()
    await office.sent(sold)

    sold.event.location = "The new hall"
    moved = changed(sold, 2)
    moved.previous_location = "Arena di Verona"
    await office.announce(moved)
    await office.sent(sold, "EVENT_CHANGED")

    assert "Now: The new hall\nBefore: Arena di Verona" in text_part(office.mails()[-1])


def called_off(of: Sale) -> None:
    of.event.state = event_pb2.EVENT_STATE_CANCELLED


def given_back(of: Sale) -> None:
    of.order.state = order_pb2.ORDER_STATE_CANCELLED


def as_it_was(of: Sale) -> None:
    for time in (of.event.starts_at, of.event.ends_at):
        time.FromDatetime(clock.from_timestamp(time) - timedelta(days=7))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (called_off, "The event was cancelled since."),
        (given_back, "The order has no valid tickets."),
        (as_it_was, "The event is as it was again."),
    ],
)
async def test_a_change_that_no_longer_matters_is_not_told(
    office: PostOffice, spoil: Callable[[Sale], None], why: str
) -> None:
    sold = office.sales.add(sale())
    told = changed(sold, 2)
    spoil(sold)
    await office.announce(told)

    assert (await office.about(sold, in_state("DEAD"))).last_error == why


async def test_a_cancelled_event_says_that_the_money_is_on_its_way(office: PostOffice) -> None:
    sold = office.sales.add(ended(sale(), order_pb2.ORDER_STATE_CANCELLED, "EVENT_CANCELLED"))
    sold.order.refunded.CopyFrom(sold.order.total)
    sold.event.version = 4
    for _ in range(2):
        await office.announce(messages_pb2.OrderCancelled(**ids(sold), reason="EVENT_CANCELLED"))

    await office.sent(sold, "EVENT_CANCELLED")

    [mail] = office.mails()
    assert mail["Subject"] == f"Jazz on the River is cancelled (order {sold.order.code})"
    for part in (text_part(mail), html_words(mail)):
        assert "Your money is on its way: €100.00 goes back to you" in part
    assert calendar(mail)["METHOD"] == "CANCEL"
    assert calendar_event(mail)["SEQUENCE"] == 4


async def test_a_cancelled_event_is_newer_than_what_a_mail_just_said_of_it(
    office: PostOffice,
) -> None:
    sold, other = sale(), office.sales.add(sale())
    other.event.CopyFrom(sold.event)
    office.sales.add(sold)
    receipt = messages_pb2.PaymentSucceeded(
        order_id=other.order.id, event_id=sold.event.id, organizer_id="org_1"
    )
    await office.announce(receipt)
    await office.sent(other)
    ended(sold, order_pb2.ORDER_STATE_CANCELLED, "EVENT_CANCELLED")
    sold.event.state, sold.event.version = event_pb2.EVENT_STATE_CANCELLED, 2
    await office.announce(messages_pb2.OrderCancelled(**ids(sold), reason="EVENT_CANCELLED"))
    await office.sent(sold, "EVENT_CANCELLED")

    assert [calendar_event(mail)["SEQUENCE"] for mail in office.mails()] == [1, 2]


async def test_a_given_ticket_goes_to_who_has_it_now_and_alone(office: PostOffice) -> None:
    sold = office.sales.add(sale(count=2))
    successor = ticket_pb2.Ticket()
    successor.CopyFrom(sold.tickets[1])
    successor.id, successor.code = "tkt_new", "NEWCODE1"
    successor.holder_name, successor.holder_email = "Bob", "bob@example.org"
    sold.tickets[1].state = ticket_pb2.TICKET_STATE_TRANSFERRED
    sold.tickets.append(successor)
    for _ in range(2):
        await office.announce(ticket_messages.TicketTransferred(**ids(sold), ticket_id="tkt_new"))

    notification = await office.sent(sold, "TICKET_TRANSFERRED")

    [mail] = office.mails()
    assert notification.recipient == mail["Delivered-To"] == "bob@example.org"
    assert "Ada" not in text_part(mail)
    _, pdf = attachment(mail)
    assert [qr_codes(page) for page in pages(pdf)] == [["NEWCODE1"]]
    assert calendar(mail)["METHOD"] == "PUBLISH"


async def test_a_ticket_that_was_given_on_is_sent_to_its_last_holder_only(
    office: PostOffice,
) -> None:
    sold = office.sales.add(sale(count=1))
    sold.tickets[0].state = ticket_pb2.TICKET_STATE_TRANSFERRED
    await office.announce(
        ticket_messages.TicketTransferred(**ids(sold), ticket_id=sold.tickets[0].id)
    )

    notification = await office.about(sold, in_state("DEAD"))

    assert notification.last_error == "The ticket is not valid any more."


def given(of: Sale) -> ticket_pb2.Ticket:
    """The first ticket, which Bob was given and nobody is let in with any more."""
    of.tickets[0].holder_name, of.tickets[0].holder_email = "Bob", "bob@example.org"
    of.tickets[0].state = ticket_pb2.TICKET_STATE_CANCELLED
    return of.tickets[0]


async def test_who_was_given_a_ticket_hears_that_it_was_taken_back(office: PostOffice) -> None:
    sold = office.sales.add(ended(sale(), order_pb2.ORDER_STATE_CANCELLED, "CANCELLED"))
    ticket = given(sold)
    for _ in range(2):
        await office.announce(ticket_messages.TicketWithdrawn(**ids(sold), ticket_id=ticket.id))

    notification = await office.sent(sold, "TICKET_WITHDRAWN")

    [mail] = office.mails()
    assert notification.recipient == mail["Delivered-To"] == "bob@example.org"
    assert "no longer admits anybody" in text_part(mail)
    assert "Ada" not in text_part(mail)
    assert calendar(mail)["METHOD"] == "CANCEL"


async def test_who_entered_with_a_given_ticket_need_not_hear_that_it_was_paid_back(
    office: PostOffice,
) -> None:
    sold = office.sales.add(sale())
    ticket = given(sold)
    ticket.admitted_at.CopyFrom(clock.timestamp(clock.now()))
    await office.announce(ticket_messages.TicketWithdrawn(**ids(sold), ticket_id=ticket.id))

    notification = await office.about(sold, in_state("DEAD"))

    assert notification.last_error == "The ticket was used."


def a_lookup(office: PostOffice, lookup_id: str, lifetime: timedelta) -> None:
    office.sales.lookups[lookup_id] = order_lookup_service_pb2.OrderLookupMail(
        email="ada@example.org",
        code="012345",
        expires_at=clock.timestamp(clock.now() + lifetime),
    )


async def test_who_looks_for_orders_gets_the_code_and_no_organizer_sees_it(
    office: PostOffice,
) -> None:
    a_lookup(office, "olk_1", timedelta(minutes=10))
    for _ in range(2):
        await office.announce(messages_pb2.OrderLookupRequested(lookup_id="olk_1"))

    async def sent() -> bool:
        return len(await office.of_kind("ORDER_LOOKUP", state=2)) == 1

    await eventually(sent)
    [mail] = office.mails()
    assert mail["To"] == "ada@example.org"
    assert "012345" in text_part(mail)
    assert "012345" in html_words(mail)
    assert "012345" not in mail["Subject"]
    [notification] = await office.of_kind()
    assert notification.organizer_id == notification.order_id == ""
    assert not (await office.notifications(office.admin("org_1"))).notifications
    with refused("NOTIFICATION_NOT_FOUND"):
        await office.resend(notification.id, office.admin("org_1"))
    assert in_state("PENDING")(await office.resend(notification.id))


async def test_a_code_is_not_sent_again_once_it_has_expired(office: PostOffice) -> None:
    a_lookup(office, "olk_1", timedelta(minutes=10))
    await office.announce(messages_pb2.OrderLookupRequested(lookup_id="olk_1"))

    async def ended_as(state: int) -> bool:
        return len(await office.of_kind("ORDER_LOOKUP", state=state)) == 1

    await eventually(lambda: ended_as(2))
    a_lookup(office, "olk_1", -timedelta(seconds=1))
    [notification] = await office.of_kind()
    await office.resend(notification.id)
    await eventually(lambda: ended_as(3))

    assert (await office.of_kind())[0].last_error == "The code has expired."
    assert len(office.mails()) == 1


async def test_an_order_may_have_mails_of_every_kind(office: PostOffice) -> None:
    sold = await office.sell()
    await office.sent(sold, "RECEIPT")
    await office.announce(changed(sold, 2))
    await office.sent(sold, "EVENT_CHANGED")
    ended(sold, order_pb2.ORDER_STATE_CANCELLED, "CANCELLED")
    await office.announce(messages_pb2.OrderCancelled(**ids(sold), reason="CANCELLED"))
    await office.sent(sold, "ORDER_CANCELLED")

    assert len(await office.of_kind(order_id=sold.order.id, state=2)) == 3


@pytest.mark.parametrize("listener", LISTENERS, ids=lambda each: each.queue.routing_key)
async def test_a_message_that_names_nothing_rests_with_the_dead_letters(
    office: PostOffice, listener: object
) -> None:
    [known] = [each for each in LISTENERS if each is listener]
    body = b'{"notify": true}'
    kind = _BODIES[known.queue.routing_key]
    await office.broker.publish(message(body, kind=kind))

    async def rests() -> bool:
        return await dead_letters(office, known.queue) == 1

    await eventually(rests)
    assert not await office.of_kind()


_BODIES: dict[str, type[Proto]] = {
    "payment.succeeded": messages_pb2.PaymentSucceeded,
    "payment.failed": messages_pb2.PaymentFailed,
    "order.expired": messages_pb2.OrderExpired,
    "order.cancelled": messages_pb2.OrderCancelled,
    "refund.issued": messages_pb2.RefundIssued,
    "order_event.updated": messages_pb2.OrderEventUpdated,
    "order_lookup.requested": messages_pb2.OrderLookupRequested,
    "ticket.transferred": ticket_messages.TicketTransferred,
    "ticket.withdrawn": ticket_messages.TicketWithdrawn,
    "waitlist_entry.offered": ticket_messages.WaitlistEntryOffered,
}


async def test_of_many_mails_about_one_event_few_ask_for_it(office: PostOffice) -> None:
    sold = sale()
    orders = [sale() for _ in range(30)]
    for each in orders:
        office.sales.add(each)
        each.event.CopyFrom(sold.event)
        office.sales.known[sold.event.id] = sold
    office.sales.asked_for_events = 0
    await asyncio.gather(
        *(
            office.announce(
                messages_pb2.PaymentSucceeded(
                    order_id=each.order.id,
                    event_id=sold.event.id,
                    organizer_id=sold.event.organizer_id,
                )
            )
            for each in orders
        )
    )
    for each in orders:
        await office.sent(each)

    assert office.sales.asked_for_events < 15


async def test_what_is_for_one_goes_before_what_is_for_everybody(
    closed_office: PostOffice,
) -> None:
    office = closed_office
    async with office.open():
        await office.sent(await office.sell())
    cancelled = [
        office.sales.add(ended(sale(count=1), order_pb2.ORDER_STATE_CANCELLED)) for _ in range(120)
    ]
    await asyncio.gather(
        *(
            office.announce(messages_pb2.OrderCancelled(**ids(each), reason="EVENT_CANCELLED"))
            for each in cancelled
        )
    )
    await office.close_mail_server()
    async with office.open():

        async def in_the_log(count: int, **fields: int) -> bool:
            page = await office.notifications((), page_size=200, **fields)
            return len(page.notifications) == count

        await eventually(lambda: in_the_log(121))  # the first sale, and all that wait
        a_lookup(office, "olk_1", timedelta(minutes=10))
        await office.announce(messages_pb2.OrderLookupRequested(lookup_id="olk_1"))
        sold = await office.sell()
        await eventually(lambda: in_the_log(123))
        await office.open_mail_server()
        await eventually(lambda: in_the_log(123, state=2))

    # Behind no more than what was in hand already.
    first = [str(mail["Subject"]) for mail in office.mails()][1 : 1 + AT_ONCE + 5]
    assert any("Your code" in subject for subject in first)
    assert any(sold.order.code in subject for subject in first)
