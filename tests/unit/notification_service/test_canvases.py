"""The two ways to draw a PDF: the quick one sets text as the general one does, and any text."""

import io
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from notification_service.documents import fonts
from notification_service.documents.pdf.canvas import Align, Font
from notification_service.documents.pdf.embedding import embed
from notification_service.documents.pdf.plain import PlainCanvas
from notification_service.documents.pdf.shaped import ShapedCanvas

MOMENT = datetime(2026, 9, 1, 12, 30, tzinfo=UTC)
SOME_TEXT = "Größe 30 € ♥ Łódź"


def plain(text: str = SOME_TEXT) -> PlainCanvas:
    """A canvas with a page."""
    canvas = PlainCanvas(fonts.select([text]))
    canvas.add_page()
    return canvas


@cache
def shaped() -> ShapedCanvas:
    """The other kind, for measuring."""
    canvas = ShapedCanvas(fonts.select([SOME_TEXT]))
    canvas.add_page()
    return canvas


def saved(canvas: PlainCanvas, title: str = "Title") -> PdfReader:
    return PdfReader(io.BytesIO(canvas.save(title, "en", MOMENT)), strict=True)


@given(
    text=st.text("aiWm €♥-", max_size=80).map(lambda text: " ".join(text.split())),
    width=st.floats(30, 90),
    size=st.sampled_from([7, 9, 12, 15, 20]),
    font=st.sampled_from([Font.TEXT, Font.BOLD]),
)
@settings(max_examples=100, deadline=None)
def test_both_break_lines_at_the_same_places(
    text: str, width: float, size: float, font: Font
) -> None:
    lines = plain(text).count_lines(text, font, size, width)

    assert lines == shaped().count_lines(text, font, size, width)


@pytest.mark.parametrize("text", ["محمد عبد الله نور الدين", "कार्यक्रम संगीत रात", "מופע של שיר"])
def test_a_line_of_letters_that_join_takes_what_it_takes_when_drawn(text: str) -> None:
    with closing(ShapedCanvas(fonts.select([text]))) as canvas:
        canvas.add_page()
        width = canvas.text_width(text, Font.BOLD, 20)

        assert canvas.count_lines(text, Font.BOLD, 20, width + 0.5) == 1
        assert canvas.count_lines(text, Font.BOLD, 20, width - 0.5) == 2


def test_a_word_that_is_too_long_is_broken_anywhere() -> None:
    canvas = plain()
    width = canvas.text_width("WWW", Font.TEXT, 12)

    assert canvas.count_lines("W" * 10, Font.TEXT, 12, width) == 4
    assert canvas.count_lines("W", Font.TEXT, 12, 0.1) == 1


@pytest.mark.parametrize(
    "text",
    [
        SOME_TEXT,
        "Ελένη Παπαδοπούλου",
        "Зоя Щербакова",
        "Nguyễn Ánh",
        "“Quoted” — 12 £",
        "♥ ♪ □ ♪ ♥",
    ],
)
def test_what_is_written_can_be_read(text: str) -> None:
    canvas = plain(text)
    canvas.write(text, Font.BOLD, 12, 20, 20, 150)

    assert saved(canvas).pages[0].extract_text() == text


@pytest.mark.parametrize(
    ("align", "left"),
    [
        (Align.LEFT, lambda _: 20.0),
        (Align.CENTRE, lambda w: 70 - w / 2),
        (Align.RIGHT, lambda w: 120 - w),
    ],
)
def test_lines_stand_where_they_are_told_to(align: Align, left: Callable[[float], float]) -> None:
    canvas = plain()
    canvas.write("Ticket", Font.TEXT, 12, 20, 30, 100, align)
    seen: list[tuple[float, float]] = []

    def note(text: str, _cm: object, matrix: list[float], _font: object, _size: float) -> None:
        if text.strip():
            seen.append((matrix[4], matrix[5]))

    saved(canvas).pages[0].extract_text(visitor_text=note)
    expected = left(canvas.text_width("Ticket", Font.TEXT, 12)) * 72 / 25.4
    assert [x for x, _ in seen] == [pytest.approx(expected, abs=0.01)]


def test_a_document_says_what_it_is() -> None:
    reader = saved(plain(), title="Été (1) \\ \N{PARTY POPPER}")

    assert reader.metadata is not None
    assert reader.metadata.title == "Été (1) \\ \N{PARTY POPPER}"
    assert reader.metadata.author == "Tessera"
    assert reader.metadata.creation_date == MOMENT
    assert str(reader.root_object["/Lang"]) == "en"


def test_the_same_drawing_gives_the_same_bytes_and_another_one_others() -> None:
    first, second, other = plain(), plain(), plain()
    for canvas, text in ((first, "A"), (second, "A"), (other, "B")):
        canvas.write(text, Font.TEXT, 12, 20, 20, 100)
    documents = [canvas.save("Title", "en", MOMENT) for canvas in (first, second, other)]

    assert documents[0] == documents[1] != documents[2]


def test_documents_in_the_same_alphabets_share_their_fonts() -> None:
    face = fonts.load_faces().common

    assert embed(face, "Zoë") is embed(face, "José")
    assert embed(face, "Ada") is embed(face, "")
    assert embed(face, "Ada") is not embed(face, "Zoë")
