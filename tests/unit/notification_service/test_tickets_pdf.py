"""The tickets' PDF: what a visitor reads, what a scanner reads, and that no text breaks it."""

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops
from pypdf import PdfReader

from notification_service.documents.domain import Seat
from notification_service.documents.tickets_pdf import render_tickets
from tests.unit.notification_service.reading import pages, qr_codes, text_of
from tests.unit.notification_service.samples import an_event, an_order, seated_tickets, some_tickets

# Millimetres: left, top, right, bottom.
ABOVE_PERFORATION = (20, 146, 190, 149)
LEFT_MARGIN = (17, 18, 26, 145)
RIGHT_MARGIN = (184, 18, 193, 145)
TITLE = (25, 35, 190, 51)

any_text = st.text(st.characters(), max_size=500)  # surrogates and control characters too
awkward_texts = [
    "",
    "\r\n\x00\x1b[31m\u2028",
    "محمد عبد الله - מופע - 2026",
    "कार्यक्रम งานดนตรี ქართული",
    "東京国際フォーラム 서울",
    "👨‍👩‍👧‍👦🎉 ♥ ♪",
    "Z\u0301\u0302\u0303a\u0315lgo",
    "\ud800 lone surrogate",
    "{nb} **bold** __under__ --struck-- [a](b)",
    "Rhabarberbarbara" * 31,
    "W" * 500,
    "a b " * 125,
]


def ink(page: Image.Image, box_mm: tuple[int, int, int, int]) -> tuple[int, int, int, int] | None:
    """The box, in pixels, that holds everything that is not white within `box_mm`."""
    left, top, right, bottom = (round(mm * page.width / 210) for mm in box_mm)
    return ImageChops.invert(page.crop((left, top, right, bottom))).getbbox()


def font_sizes(pdf: bytes) -> dict[str, float]:
    """How large each text of the first page is, in points."""
    sizes: dict[str, float] = {}

    def note(text: str, _cm: object, _tm: object, _font: object, size: float) -> None:
        sizes[text.strip()] = size

    PdfReader(io.BytesIO(pdf)).pages[0].extract_text(visitor_text=note)
    return sizes


def title_of(title: str) -> Image.Image:
    """The picture of a title, cut along its ink."""
    pdf = render_tickets(an_event(title=title), an_order(), some_tickets(count=1))
    page = pages(pdf)[0]
    left, top, _, _ = TITLE
    box = ink(page, TITLE)
    assert box is not None
    x, y = (round(mm * page.width / 210) for mm in (left, top))
    return page.crop((x + box[0], y + box[1], x + box[2], y + box[3]))


def test_each_ticket_has_a_page_of_its_own_that_says_everything() -> None:
    pdf = render_tickets(an_event(), an_order(), some_tickets(count=3))

    assert len(PdfReader(io.BytesIO(pdf)).pages) == 3
    text = text_of(pdf, page=1)
    for fact in (
        "Jazz on the River",
        "Arena di Verona, Piazza Bra 1",
        "Saturday, November 14, 2026",
        "7:30 PM \N{EN DASH} 11:00 PM",
        "Central European Standard Time (Europe/Rome)",
        "Early bird",
        "Ada Lovelace",
        "€50.00",
        "Ticket 2 of 3",
        "TK2F7K2M9QX4D8RW0O1LI5N",
        "Order K7QX2M9D",
        "Tessera",
    ):
        assert fact in text


def test_the_seat_is_on_the_ticket_in_the_halls_own_words() -> None:
    tickets = seated_tickets(Seat("Balcony left", "4", "12"), Seat("", "AA", "13"))

    pdf = render_tickets(an_event(), an_order(), tickets)

    assert "SECTION Balcony left ROW 4 SEAT 12" in text_of(pdf)
    assert "ROW AA SEAT 13" in text_of(pdf, page=1)
    assert "SECTION" not in text_of(pdf, page=1)


def test_a_ticket_without_a_seat_says_nothing_about_one() -> None:
    text = text_of(render_tickets(an_event(), an_order(), some_tickets(count=1)))

    assert not {"SECTION", "ROW", "SEAT"} & set(text.split())


def test_the_seat_is_larger_than_all_but_the_title() -> None:
    [ticket] = seated_tickets(Seat("Balcony", "4", "12"))
    sizes = font_sizes(render_tickets(an_event(), an_order(), [ticket]))

    seat = min(sizes[text] for text in ("Balcony", "4", "12"))
    assert seat >= 1.5 * max(sizes[text] for text in ("Early bird", "Ada Lovelace", "€50.00"))
    assert seat >= 24  # points: read at arm's length in the dark


def test_pages_are_a4() -> None:
    page = PdfReader(io.BytesIO(render_tickets(an_event(), an_order(), some_tickets()))).pages[0]

    assert (round(page.mediabox.width), round(page.mediabox.height)) == (595, 842)


def test_every_qr_code_says_exactly_its_tickets_code() -> None:
    tickets = some_tickets(count=4)

    drawn = pages(render_tickets(an_event(), an_order(), tickets))

    assert [qr_codes(page) for page in drawn] == [[ticket.code] for ticket in tickets]


@given(
    code=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1)
)
@settings(max_examples=20, deadline=None)
def test_a_qr_code_of_any_ticket_code_is_readable(code: str) -> None:
    (ticket,) = some_tickets(count=1)
    ticket = type(ticket)(code, ticket.ticket_type_name, "Ada", ticket.price, 1, 1)

    (page,) = pages(render_tickets(an_event(), an_order(), [ticket]))

    assert qr_codes(page) == [code]


@pytest.mark.parametrize("text", awkward_texts, ids=ascii)
def test_awkward_text_stays_on_the_ticket_and_off_the_qr_code(text: str) -> None:
    ends_at = datetime(2026, 12, 30, 22, 0, tzinfo=UTC)
    event = an_event(title=text, location=text, ends_at=ends_at)
    tickets = some_tickets(count=1, holder_name=text, price="123456789.00")

    (page,) = pages(render_tickets(event, an_order(), tickets))

    assert qr_codes(page) == [tickets[0].code]
    for margin in (ABOVE_PERFORATION, LEFT_MARGIN, RIGHT_MARGIN):
        assert ink(page, margin) is None


@pytest.mark.parametrize("text", awkward_texts, ids=ascii)
def test_awkward_seats_stay_on_the_ticket_and_off_the_qr_code(text: str) -> None:
    ends_at = datetime(2026, 12, 30, 22, 0, tzinfo=UTC)
    event = an_event(title=text, location=text, ends_at=ends_at)
    [ticket] = seated_tickets(Seat(text, text, text))
    ticket = replace(ticket, holder_name=text, price=Decimal("123456789.00"))

    (page,) = pages(render_tickets(event, an_order(), [ticket]))

    assert qr_codes(page) == [ticket.code]
    for margin in (ABOVE_PERFORATION, LEFT_MARGIN, RIGHT_MARGIN):
        assert ink(page, margin) is None


@given(title=any_text, location=any_text, holder=any_text)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_renders(title: str, location: str, holder: str) -> None:
    pdf = render_tickets(
        an_event(title=title, location=location),
        an_order(customer_name=holder),
        some_tickets(count=1, holder_name=holder),
    )

    assert len(PdfReader(io.BytesIO(pdf)).pages) == 1


@pytest.mark.parametrize(
    "name", ["Łukasz Żółć", "Ελένη Παπαδοπούλου", "Зоя Щербакова", "Nguyễn Ánh"]
)
def test_latin_greek_and_cyrillic_names_are_written_out(name: str) -> None:
    assert name in text_of(
        render_tickets(an_event(), an_order(), some_tickets(1, holder_name=name))
    )


def test_letters_no_typeface_has_leave_a_visible_mark() -> None:
    assert "□□ Bar" in text_of(
        render_tickets(an_event(title="東京 Bar"), an_order(), some_tickets(1))
    )


def test_arabic_letters_are_joined() -> None:
    joined, apart = (
        title_of(title) for title in ("محمد", "\N{ZERO WIDTH NON-JOINER}".join("محمد"))
    )

    assert joined != apart


def test_hebrew_runs_from_right_to_left() -> None:
    last_letter, word = (title_of(title) for title in ("ב", "אב"))

    assert word.crop((0, 0, last_letter.width, last_letter.height)) == last_letter


def test_the_same_input_gives_the_same_bytes() -> None:
    sale = (an_event(title="مهرجان Jazz"), an_order(), some_tickets())

    assert render_tickets(*sale) == render_tickets(*sale)


def test_threads_may_render_at_once() -> None:
    sale = (an_event(), an_order(), some_tickets())

    with ThreadPoolExecutor(4) as pool:
        rendered = set(pool.map(lambda _: render_tickets(*sale), range(8)))

    assert len(rendered) == 1


def test_a_call_can_be_sent_to_another_process() -> None:
    call = partial(render_tickets, an_event(), an_order(), some_tickets())

    assert pickle.loads(pickle.dumps(call))() == call()


def test_a_sale_of_many_tickets_stays_a_small_file() -> None:
    assert len(render_tickets(an_event(), an_order(), some_tickets(count=20))) < 100_000
