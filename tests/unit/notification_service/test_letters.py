"""What every kind of mail keeps: the same facts in both parts, and nothing but those."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notification_service.documents.domain import (
    Event,
    Order,
    OrderLine,
    Previously,
    Refund,
    RefundOrigin,
    Seat,
    TaxAmount,
)
from notification_service.documents.letter import Letter, UndeliverableAddress
from notification_service.documents.letters import (
    event_cancelled,
    event_changed,
    order_cancelled,
    payment_failed,
    receipt,
    refund,
    ticket_transferred,
    ticket_withdrawn,
)
from notification_service.notifications.domain import Kind
from tests.unit.notification_service.reading import (
    calendar,
    calendar_event,
    html_part,
    html_words,
    received,
    text_part,
)
from tests.unit.notification_service.samples import (
    QUEUED_AT,
    a_mail,
    an_event,
    an_order,
    every_letter,
    seated_tickets,
    some_tickets,
)

KINDS = sorted(every_letter(an_event(), an_order()))
NO_NAMES = {
    "offer",
    "ticket_transferred",
    "ticket_withdrawn",
    "order_lookup",
    "payment_failed",
    "order_expired",
}
ATTACK = '<script>alert("x")</script><mj-raw>{{ 7 * 7 }}'

any_text = st.text(st.characters(), max_size=200)


def both(letter: Letter) -> list[str]:
    """What the text and the HTML part say, on one line each."""
    mail = received(a_mail(letter))
    return [" ".join(text_part(mail).split()), html_words(mail)]


def test_there_is_a_letter_for_each_kind() -> None:
    assert len(KINDS) == len(Kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_come_in_order_and_carry_what_belongs_to_the_kind(kind: str) -> None:
    mail = received(a_mail(every_letter(an_event(), an_order())[kind]))

    types = [part.get_content_type() for part in mail.walk() if not part.is_multipart()]
    assert types[:2] == ["text/plain", "text/html"]
    attached = {
        "receipt": ["application/pdf", "text/calendar"],
        "ticket_transferred": ["application/pdf", "text/calendar"],
        "event_changed": ["text/calendar"],
        "event_cancelled": ["text/calendar"],
        "order_cancelled": ["text/calendar"],
    }
    assert types[2:] == attached.get(kind, [])
    assert not mail.defects


@pytest.mark.parametrize("kind", KINDS)
def test_html_loads_nothing_from_elsewhere(kind: str) -> None:
    content = html_part(received(a_mail(every_letter(an_event(), an_order())[kind])))

    assert not re.search(r"<(img|link|script|iframe)\b|\b(src|href)\s*=|url\(|@import", content)


@pytest.mark.parametrize("kind", KINDS)
def test_markup_in_anybodys_text_is_shown_and_not_obeyed(kind: str) -> None:
    letter = every_letter(an_event(title=ATTACK), an_order(customer_name=ATTACK))[kind]

    mail = received(a_mail(letter))

    assert "<script" not in html_part(mail)
    assert "49" not in html_part(mail).split("{{")[0][-9:]
    if kind != "order_lookup":
        assert "{{ 7 * 7 }}" in html_part(mail)
        assert ATTACK in text_part(mail)


@pytest.mark.parametrize("kind", sorted(NO_NAMES))
def test_nobody_has_a_stranger_told_something_by_giving_it_for_a_name(kind: str) -> None:
    order = an_order(customer_name="Call 0900 12345 now")
    mail = received(a_mail(every_letter(an_event(), order)[kind]))

    assert "0900" not in text_part(mail)
    assert "0900" not in html_part(mail)


@pytest.mark.parametrize("kind", ["payment_failed", "order_expired"])
def test_a_mail_about_an_order_that_nobody_paid_is_to_an_address_and_to_no_name(kind: str) -> None:
    mail = received(a_mail(every_letter(an_event(), an_order())[kind]))

    assert mail["To"] == "ada@example.org"


@pytest.mark.parametrize("kind", KINDS)
@given(title=any_text, name=any_text)
@settings(max_examples=8, deadline=None)
def test_any_text_makes_a_mail_with_the_same_headers_and_parts(
    kind: str, title: str, name: str
) -> None:
    event = an_event(title=title, location=name)
    sent = a_mail(every_letter(event, an_order(customer_name=name))[kind])
    usual = received(a_mail(every_letter(an_event(), an_order())[kind]))

    mail = received(sent)

    assert mail.keys() == usual.keys()
    assert len(list(mail.walk())) == len(list(usual.walk()))
    assert max(map(len, sent.content.split(b"\r\n"))) <= 998  # RFC 5322, 2.1.1
    assert b"\n" not in sent.content.replace(b"\r\n", b"")
    assert sent.content.isascii()
    assert not mail.defects


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_no_mail_can_carry_is_refused(kind: str) -> None:
    order = an_order(customer_email="ada@example.org\r\nBcc: x@y.z")
    with pytest.raises(UndeliverableAddress):
        a_mail(every_letter(an_event(), order)[kind])


def priced_order() -> Order:
    """With everything that a bill can have."""
    return replace(
        an_order(),
        lines=(
            OrderLine("Early bird", 2, Decimal("50.00"), Decimal("90.00"), "19", True),
            OrderLine(
                "Box", 1, Decimal("40.00"), Decimal("43.55"), "8.875", False, Decimal("3.55")
            ),
        ),
        discount=Decimal("10.00"),
        voucher_code="SUMMER",
        booking_fee=Decimal("3.00"),
        total=Decimal("136.55"),
        taxes=(
            TaxAmount("19", Decimal("78.15"), Decimal("14.85")),
            TaxAmount("8.875", Decimal("40.00"), Decimal("3.55")),
        ),
    )


def test_the_receipts_rows_add_up_to_its_total() -> None:
    mail = received(a_mail(receipt.write(an_event(), priced_order(), some_tickets())))

    assert text_part(mail).split("\n\n")[4].splitlines() == [
        "2 x Early bird, €50.00 each: €100.00",
        "1 x Box, €40.00 each: €40.00",
        "Discount, voucher SUMMER: \N{MINUS SIGN}€10.00",
        "Tax, 8.875%: €3.55",
        "Booking fee: €3.00",
        "Total: €136.55",
        "Contains 19% tax on €78.15: €14.85",
        "Contains 8.875% tax on €40.00: €3.55",
    ]
    assert (
        "Discount, voucher SUMMER \N{MINUS SIGN}€10.00 Tax, 8.875% €3.55 Booking fee €3.00 "
        "Total €136.55 Contains 19% tax on €78.15 €14.85"
    ) in html_words(mail)


@pytest.mark.parametrize(
    ("decline_code", "why"),
    [
        ("insufficient_funds", "not enough money"),
        ("expired_card", "has expired"),
        ("stolen_card", "does not say why"),
        ("fraudulent", "does not say why"),
        ("", "does not say why"),
    ],
)
def test_who_holds_a_card_is_told_only_what_they_can_mend(decline_code: str, why: str) -> None:
    for part in both(payment_failed.write(an_event(), an_order(), decline_code, QUEUED_AT)):
        assert why in part
        assert "Nothing was charged" in part
        assert "September 1, 2026, 6:00 PM" in part
        assert decline_code not in part.split() or not decline_code


def unpaid(order: Order) -> Order:
    return replace(order, paid_at=None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"refunded": Decimal("150.00")}, "€150.00 of what you paid goes back to you."),
        ({}, "None of what you paid goes back to you."),
        ({"paid_at": None, "cancel_reason": "SOLD_OUT"}, "there were no tickets left for it."),
        ({"paid_at": None, "cancel_reason": "SOLD_OUT"}, "You pay nothing"),
        ({"cancel_reason": "DISPUTE_LOST"}, "Your bank took the payment back"),
    ],
)
def test_who_loses_an_order_learns_why_and_where_the_money_is(
    change: dict[str, object], told: str
) -> None:
    order = replace(an_order(), **change)  # type: ignore[arg-type]
    for part in both(order_cancelled.write(an_event(), order)):
        assert told in part


def test_a_called_off_event_says_that_the_money_is_on_its_way_if_there_was_some() -> None:
    paid = replace(an_order(), refunded=Decimal("150.00"))
    for part in both(event_cancelled.write(an_event(), paid)):
        assert "Your money is on its way: €150.00 goes back to you" in part
    for part in both(event_cancelled.write(an_event(), an_order(price="0.00"))):
        assert "money" not in part
        assert "Your tickets no longer admit anybody." in part
    for part in both(event_cancelled.write(an_event(), unpaid(an_order()))):
        assert "You pay nothing" in part
        assert "tickets no longer" not in part


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        (RefundOrigin.ADMIN, "The organizer writes: A pillar stands in the way."),
        (RefundOrigin.CUSTOMER, "You cancelled the order."),
        (RefundOrigin.EVENT_CANCELLED, "The event is cancelled."),
        (RefundOrigin.AUTOMATIC, "A payment of yours was not needed"),
    ],
)
def test_a_refund_says_how_much_why_and_which_tickets_are_gone(
    origin: RefundOrigin, told: str
) -> None:
    given = Refund(Decimal("50.00"), origin, "A pillar stands in the way.", (2,))

    for part in both(refund.write(an_event(), an_order(), given, some_tickets()[1:2])):
        assert "€50.00" in part
        assert told in part
        assert "Ticket 2: Early bird" in part
        assert "Ticket 1" not in part


def test_a_refund_of_a_thousand_tickets_is_a_mail_of_usual_length() -> None:
    given = Refund(Decimal("50.00"), RefundOrigin.ADMIN, "", tuple(range(1, 1001)))

    for part in both(refund.write(an_event(), an_order(), given, some_tickets(1000))):
        assert "Ticket 20: Early bird and 980 more" in part
        assert "Ticket 21" not in part


LATER = an_event().starts_at + timedelta(days=7)


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (Previously("Swing", None, None, None), ["Title", "Before: Swing"]),
        (Previously(None, "The old hall", None, None), ["Venue", "Before: The old hall"]),
        (
            Previously(None, None, LATER, None),
            ["Date and time", "Before: Saturday, November 21, 2026, 7:30 PM"],
        ),
    ],
)
def test_a_changed_event_says_what_was_and_what_is(before: Previously, told: list[str]) -> None:
    letter = event_changed.write(an_event(), an_order(), before)

    text, html = both(letter)
    for fact in told:
        assert fact in text
        assert fact.upper() in html or fact in html
    assert len(event_changed.changes(an_event(), before)) == 1


def test_what_was_changed_back_is_no_change() -> None:
    event = an_event()
    before = Previously(event.title, event.location, event.starts_at, event.ends_at)
    assert not event_changed.changes(event, before)


def test_a_given_ticket_shows_its_seat_and_goes_to_who_has_it() -> None:
    [ticket] = seated_tickets(Seat("Balcony", "4", "12"))
    letter = ticket_transferred.write(an_event(), an_order(), ticket, "bob@example.org")

    mail = received(a_mail(letter))

    [to] = mail["To"].addresses
    assert to.addr_spec == "bob@example.org"
    assert "Balcony, row 4, seat 12" in text_part(mail)
    assert str(calendar_event(mail)["DESCRIPTION"]).endswith("Ticket 1: Balcony, row 4, seat 12")


@pytest.mark.parametrize(
    ("cancel_reason", "says", "attached"),
    [
        ("", "ask who gave it to you", []),  # the ticket alone
        ("CANCELLED", "ask who gave it to you", ["CANCEL"]),
        ("EVENT_CANCELLED", "does not take place", ["CANCEL"]),
    ],
)
def test_a_withdrawn_ticket_leaves_the_calendar_of_who_had_it_with_the_whole_order_only(
    cancel_reason: str, says: str, attached: list[str]
) -> None:
    [ticket] = seated_tickets(Seat("Balcony", "4", "12"))
    order = replace(an_order(), cancel_reason=cancel_reason)
    letter = ticket_withdrawn.write(an_event(), order, ticket, "bob@example.org")

    mail = received(a_mail(letter))

    [to] = mail["To"].addresses
    assert to.addr_spec == "bob@example.org"
    for shown in both(letter):
        assert "no longer admits anybody" in shown
        assert says in shown
        assert "Balcony, row 4, seat 12" in shown
        assert ticket.code not in shown
    assert [calendar(mail)["METHOD"] for _ in letter.attachments] == attached


Change = Callable[[Event], Event]


def test_a_calendar_has_one_entry_of_an_order_and_knows_which_is_the_newest() -> None:
    before, after = an_event(), replace(an_event(), version=4, starts_at=LATER, ends_at=None)

    first = received(a_mail(receipt.write(before, an_order(), some_tickets())))
    change = event_changed.write(after, an_order(), Previously(None, None, before.starts_at, None))
    second = received(a_mail(change))
    last = received(a_mail(event_cancelled.write(replace(after, version=5), an_order())))

    entries = [calendar_event(mail) for mail in (first, second, last)]
    assert {str(entry["UID"]) for entry in entries} == {"evt_0199.ord_0199@example.org"}
    assert [entry["SEQUENCE"] for entry in entries] == [3, 4, 5]
    assert [calendar(mail)["METHOD"] for mail in (first, second, last)] == [
        "PUBLISH",
        "PUBLISH",
        "CANCEL",
    ]
    assert [entry["STATUS"] for entry in entries] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]
    assert entries[0].start == datetime(2026, 11, 14, 18, 30, tzinfo=UTC)
    assert entries[0].end == datetime(2026, 11, 14, 22, 0, tzinfo=UTC)
    assert entries[1].start == LATER
    assert "DTEND" not in entries[1]
    assert str(entries[0]["ORGANIZER"]) == "mailto:tickets@example.org"


def test_another_order_has_an_entry_of_its_own() -> None:
    other = replace(an_order(), id="ord_0200")
    mail = received(a_mail(receipt.write(an_event(), other, some_tickets())))
    assert str(calendar_event(mail)["UID"]) == "evt_0199.ord_0200@example.org"


def test_who_never_had_tickets_has_nothing_to_take_out_of_a_calendar() -> None:
    for letter in (
        event_cancelled.write(an_event(), unpaid(an_order())),
        order_cancelled.write(an_event(), unpaid(an_order())),
    ):
        assert not letter.attachments


def test_a_title_cannot_add_a_line_to_the_calendar() -> None:
    title = "Jazz\r\nATTENDEE:mailto:everyone@example.org;,\\"
    mail = received(a_mail(receipt.write(an_event(title=title), an_order(), some_tickets())))

    entry = calendar_event(mail)
    assert str(entry["SUMMARY"]) == "Jazz ATTENDEE:mailto:everyone@example.org;,\\"
    assert "ATTENDEE" not in entry


def test_a_calendars_lines_are_short_whatever_the_title() -> None:
    mail = received(a_mail(receipt.write(an_event(title="Ж" * 500), an_order(), some_tickets())))
    [part] = [each for each in mail.walk() if each.get_content_type() == "text/calendar"]
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert max(map(len, content.split(b"\r\n"))) <= 75  # octets: RFC 5545, 3.1
