"""The receipt: a mail that any client shows, with the same facts in each part."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from notification_service.documents.domain import OrderLine, Seat
from notification_service.documents.letter import UndeliverableAddress
from notification_service.documents.tickets_pdf import render_tickets
from tests.unit.notification_service.reading import (
    attachment,
    calendar_event,
    html_part,
    html_words,
    received,
    text_part,
)
from tests.unit.notification_service.samples import (
    a_receipt,
    an_event,
    an_order,
    seated_tickets,
    some_tickets,
)

any_text = st.text(st.characters(), max_size=500)


def test_the_mail_has_text_html_and_the_tickets() -> None:
    mail = received(a_receipt())

    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/pdf",
        "text/calendar",
    ]
    assert attachment(mail) == (
        "tickets-K7QX2M9D.pdf",
        render_tickets(an_event(), an_order(), some_tickets()),
    )


def test_the_headers_say_who_what_and_when() -> None:
    mail = received(a_receipt())

    assert mail["Subject"] == "Your tickets for Jazz on the River (order K7QX2M9D)"
    assert mail["From"] == "Verona Nights <tickets@example.org>"
    assert mail["To"] == "Ada Lovelace <ada@example.org>"
    assert mail["Date"].datetime == datetime(2026, 9, 1, 12, 0, 5, tzinfo=UTC)
    assert mail["Message-ID"] == "<ntf_0199@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"


def test_one_ticket_is_called_one_ticket() -> None:
    mail = received(a_receipt(order=an_order(quantity=1), tickets=some_tickets(count=1)))

    assert mail["Subject"] == "Your ticket for Jazz on the River (order K7QX2M9D)"
    assert "Your ticket for Jazz on the River is attached." in text_part(mail)


@pytest.mark.parametrize(
    ("price", "currency_code", "total"),
    [("50.00", "EUR", "€150.00"), ("5000", "JPY", "¥15,000"), ("1.250", "KWD", "KWD 3.750")],
)
def test_text_and_html_show_the_same_total(price: str, currency_code: str, total: str) -> None:
    mail = received(
        a_receipt(
            order=an_order(price=price, currency_code=currency_code),
            tickets=some_tickets(price=price),
        )
    )

    assert f"Total: {total}" in text_part(mail).replace("\u00a0", " ")
    assert f"Total {total}" in html_words(mail).replace("\u00a0", " ")


@pytest.mark.parametrize(
    "fact",
    [
        "Jazz on the River",
        "Arena di Verona, Piazza Bra 1",
        "Saturday, November 14, 2026",
        "7:30\u00a0PM \N{EN DASH} 11:00\u00a0PM",
        "Central European Standard Time (Europe/Rome)",
        "Ada Lovelace",
        "K7QX2M9D",
        "September 1, 2026",
        "Show the code at the entrance",
    ],
)
def test_text_and_html_tell_the_same_facts(fact: str) -> None:
    mail = received(a_receipt())

    assert fact in text_part(mail)
    assert " ".join(fact.split()) in html_words(mail)


def test_every_order_line_is_listed() -> None:
    lines = (
        OrderLine("Early bird", 2, Decimal("20.00"), Decimal("40.00")),
        OrderLine("Front row", 1, Decimal("60.00"), Decimal("60.00")),
    )

    mail = received(a_receipt(order=replace(an_order(), lines=lines, total=Decimal("100.00"))))

    assert text_part(mail).split("\n\n")[4].splitlines() == [
        "2 x Early bird, €20.00 each: €40.00",
        "1 x Front row, €60.00 each: €60.00",
        "Total: €100.00",
    ]
    assert "2 \N{MULTIPLICATION SIGN} Early bird €20.00 each €40.00" in html_words(mail)
    assert "1 \N{MULTIPLICATION SIGN} Front row €60.00 each €60.00 Total €100.00" in html_words(
        mail
    )


def test_seats_are_listed_ticket_by_ticket() -> None:
    tickets = seated_tickets(Seat("Balcony", "4", "12"), Seat("", "AA", "13"), Seat("", " ", ""))

    mail = received(a_receipt(tickets=tickets))

    assert text_part(mail).split("\n\n")[5].splitlines() == [
        "Your seats",
        "Ticket 1: Balcony, row 4, seat 12",
        "Ticket 2: row AA, seat 13",
    ]
    assert "YOUR SEATS Ticket 1 Balcony, row 4, seat 12 Ticket 2 row AA, seat 13" in html_words(
        mail
    )


def test_a_ticket_without_a_seat_has_none_listed() -> None:
    tickets = [*seated_tickets(Seat("Balcony", "4", "12")), *some_tickets(count=1)]
    assert text_part(received(a_receipt(tickets=tickets))).split("\n\n")[5].splitlines() == [
        "Your seat",
        "Ticket 1: Balcony, row 4, seat 12",
    ]
    for shown in (text_part, html_words):
        assert "seat" not in shown(received(a_receipt())).lower()


def test_markup_in_a_customers_text_is_shown_and_not_obeyed() -> None:
    attack = '<script>alert("x")</script><mj-raw>{{ 7 * 7 }}'

    mail = received(a_receipt(event=an_event(title=attack), order=an_order(customer_name=attack)))

    assert "<script" not in html_part(mail)
    assert "{{ 7 * 7 }}" in html_part(mail)
    assert attack in text_part(mail)


def test_a_name_cannot_add_a_header() -> None:
    attack = "Eve\r\nBcc: everyone@example.org\r\n\r\nbody"

    mail = received(a_receipt(event=an_event(title=attack), order=an_order(customer_name=attack)))

    assert mail["Bcc"] is None
    (to,) = mail["To"].addresses
    assert to.addr_spec == "ada@example.org"
    assert to.display_name == "Eve Bcc: everyone@example.org body"


@given(title=any_text, name=any_text)
@settings(max_examples=40, deadline=None)
def test_any_text_makes_a_mail_with_the_same_headers_and_parts(title: str, name: str) -> None:
    sent = a_receipt(
        event=an_event(title=title, location=name),
        order=an_order(customer_name=name),
        tickets=some_tickets(count=1, holder_name=name),
    )

    mail = received(sent)

    assert mail.keys() == received(a_receipt()).keys()
    assert [address.addr_spec for address in mail["To"].addresses] == ["ada@example.org"]
    assert len(list(mail.walk())) == 6
    assert max(map(len, sent.content.split(b"\r\n"))) <= 998  # RFC 5322, 2.1.1
    assert not mail.defects


@pytest.mark.parametrize("name", ["Зоя Щербакова", "Nguyễn, Ánh", '"Bobby" <b@example.net>', ""])
def test_a_customers_name_arrives_as_it_was_written(name: str) -> None:
    (to,) = received(a_receipt(order=an_order(customer_name=name)))["To"].addresses

    assert (to.display_name, to.addr_spec) == (name, "ada@example.org")


@pytest.mark.parametrize(
    "address", ["", "ada", "a b@c", "ada@example.org\r\nBcc: x@y.z", "a@b, c@d", "jörg@example.org"]
)
def test_an_address_no_mail_can_carry_is_refused(address: str) -> None:
    with pytest.raises(UndeliverableAddress):
        a_receipt(order=an_order(customer_email=address))


def test_a_resend_is_the_same_mail() -> None:
    assert a_receipt() == a_receipt()


def test_a_later_resend_differs_in_its_date_alone() -> None:
    first = a_receipt().content
    later = a_receipt(date=datetime(2026, 9, 2, 8, 0, tzinfo=UTC)).content

    [date, *stamp] = [
        after
        for before, after in zip(first.splitlines(), later.splitlines(), strict=True)
        if before != after
    ]
    assert date == b"Date: Wed, 02 Sep 2026 08:00:00 +0000"
    # Base64: of the calendar file, which says when it was made.
    assert len(stamp) == 1
    stamps = [
        calendar_event(received(mail)).DTSTAMP
        for mail in (a_receipt(), replace(a_receipt(), content=later))
    ]
    assert stamps == [
        datetime(2026, 9, 1, 12, 0, 5, tzinfo=UTC),
        datetime(2026, 9, 2, 8, 0, tzinfo=UTC),
    ]


def test_the_attached_pdf_opens() -> None:
    _, pdf = attachment(received(a_receipt()))

    assert len(PdfReader(io.BytesIO(pdf)).pages) == 3


def test_an_order_code_cannot_choose_a_folder() -> None:
    name, _ = attachment(received(a_receipt(order=an_order(code="../../etc/x\r\ny"))))

    assert name == "tickets-etcxy.pdf"
