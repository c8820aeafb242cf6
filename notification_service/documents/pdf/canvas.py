"""What a document is drawn on. Millimetres from the upper left corner of an A4 page."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

PAGE_WIDTH, PAGE_HEIGHT = 210.0, 297.0
POINTS_PER_MM = 72 / 25.4
LEADING = 1.2
"""How far lines are apart, in sizes of their text."""


class Font(StrEnum):
    """Which of a selection's typefaces a text is set in."""

    TEXT = "text"
    BOLD = "bold"
    CODE = "code"


class Align(StrEnum):
    """Where a line stands in its box."""

    LEFT = "L"
    CENTRE = "C"
    RIGHT = "R"


def line_height(size: float) -> float:
    """Millimetres from a line to the next, in text of so many points."""
    return size / POINTS_PER_MM * LEADING


def bars(row: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where each run of numbers that are not 0 begins, and how long it is."""
    column = 0
    while column < len(row):
        end = column
        while end < len(row) and row[end]:
            end += 1
        if end > column:
            yield column, end - column
        column = end + 1


class Canvas(Protocol):
    """Pages, drawn one after the other. A size is in points, a grey from 0 (black) to 1 (white).

    Texts have but characters that the typefaces show, and no line breaks.
    """

    def add_page(self) -> None:
        """Go on on a new page."""

    def count_lines(self, text: str, font: Font, size: float, width: float) -> int:
        """How many lines `write` would need."""

    def write(
        self,
        text: str,
        font: Font,
        size: float,
        x: float,
        y: float,
        width: float,
        align: Align = Align.LEFT,
        grey: float = 0,
    ) -> None:
        """Set a text in lines of this width, broken at spaces, or in a word that is too long."""

    def text_width(self, text: str, font: Font, size: float) -> float:
        """How long a text is in one line."""

    def line(
        self, x: float, y: float, to_x: float, to_y: float, *, thick: float, dash: float = 0
    ) -> None:
        """Draw a black line; with a dash, as long as the gaps between them."""

    def round_rectangle(
        self, x: float, y: float, width: float, height: float, radius: float, *, thick: float
    ) -> None:
        """Draw a black outline."""

    def notch(self, x: float, y: float, radius: float, *, to_right: bool, thick: float) -> None:
        """Open a vertical line at its point `x`, `y`, and round the opening by a half circle."""

    def squares(self, rows: Sequence[Sequence[int]], x: float, y: float, side: float) -> None:
        """Fill a square for each number in a row that is not 0; `side` is each square's."""

    def save(self, title: str, language: str, created: datetime) -> bytes:
        """The document. The same drawing gives the same bytes."""

    def close(self) -> None:
        """Let go of what drawing takes, saved or not."""
