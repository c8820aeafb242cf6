"""The offer: a mail that says what is kept for somebody, until when, and how to buy it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notification_service.documents.domain import Seat
from notification_service.documents.letter import UndeliverableAddress
from tests.unit.notification_service.reading import html_part, html_words, received, text_part
from tests.unit.notification_service.samples import an_event, an_offer, an_offer_mail

any_text = st.text(st.characters(), max_size=500)


def test_the_mail_has_text_and_html_and_nothing_attached() -> None:
    mail = received(an_offer_mail())

    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def test_nobody_has_a_stranger_told_something_by_giving_it_for_a_name() -> None:
    mail = received(an_offer_mail())

    assert "Grace" not in text_part(mail)
    assert "Grace" not in html_words(mail)


@pytest.mark.parametrize(
    ("quantity", "subject", "sentence"),
    [
        (1, "A ticket for Jazz on the River is kept for you", "a ticket has come free. We keep it"),
        (
            3,
            "3 tickets for Jazz on the River are kept for you",
            "3 tickets have come free. We keep them",
        ),
    ],
)
def test_one_ticket_is_it_and_several_are_them(quantity: int, subject: str, sentence: str) -> None:
    mail = received(an_offer_mail(an_offer(quantity)))

    assert mail["Subject"] == subject
    assert sentence in text_part(mail)
    assert sentence in html_words(mail)


@pytest.mark.parametrize(
    "fact",
    [
        "Jazz on the River",
        "Arena di Verona, Piazza Bra 1",
        "Saturday, November 14, 2026",
        "7:30\u00a0PM \N{EN DASH} 11:00\u00a0PM",
        "Central European Standard Time (Europe/Rome)",
        # The deadline, where the event is.
        "Tuesday, September 1, 2026, 6:30\u00a0PM (Central European Summer Time).",
        "Early bird",
        "\N{EURO SIGN}50.00 each",
        "\N{EURO SIGN}100.00",
        "Balcony, row 4, seat 12",
        "row AA, seat 13",
        "hold_0199",
        "they go to the next in line",
    ],
)
def test_text_and_html_tell_the_same_facts(fact: str) -> None:
    seats = (Seat("Balcony", "4", "12"), Seat("", "AA", "13"))
    mail = received(an_offer_mail(an_offer(seats=seats)))

    assert fact in text_part(mail)
    assert " ".join(fact.split()) in html_words(mail)


def test_the_storefronts_page_is_linked_if_there_is_one() -> None:
    url = "https://tickets.example.org/holds/hold_0199?lang=en&from=mail"
    mail = received(an_offer_mail(an_offer(url=url)))

    assert f"open this page before then:\n{url}\n" in text_part(mail)
    assert f'href="{url.replace("&", "&amp;")}"' in html_part(mail)
    assert "Buy them now" in html_words(mail)


def test_without_a_storefront_the_hold_says_what_to_order() -> None:
    mail = received(an_offer_mail())

    assert "order this hold before then:\nhold_0199\n" in text_part(mail)
    assert "Order this hold before then: hold_0199" in html_words(mail)
    assert "Buy them now" not in html_words(mail)


def test_a_seat_without_any_name_leaves_no_gap() -> None:
    named, nameless = (
        text_part(received(an_offer_mail(an_offer(seats=seats))))
        for seats in ((), (Seat("", "", ""),))
    )
    assert named == nameless


@given(title=any_text, name=any_text)
@settings(max_examples=40, deadline=None)
def test_any_text_makes_a_mail_with_the_same_headers_and_parts(title: str, name: str) -> None:
    seats = (Seat(name, title, name),)
    offer = an_offer(customer_name=name, seats=seats)
    mail = received(an_offer_mail(offer, an_event(title=title, location=name)))

    assert mail.keys() == received(an_offer_mail()).keys()
    assert [address.addr_spec for address in mail["To"].addresses] == ["grace@example.org"]
    assert len(list(mail.walk())) == 3
    assert not mail.defects


@pytest.mark.parametrize("address", ["", "grace", "grace@example.org\r\nBcc: x@y.z"])
def test_an_address_no_mail_can_carry_is_refused(address: str) -> None:
    with pytest.raises(UndeliverableAddress):
        an_offer_mail(an_offer(customer_email=address))


def test_a_resend_is_the_same_mail() -> None:
    assert an_offer_mail() == an_offer_mail()
