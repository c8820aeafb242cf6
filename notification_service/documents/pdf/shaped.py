"""A PDF by fpdf2, for scripts whose letters join, stack or run from right to left."""

from collections.abc import Sequence
from datetime import datetime

from fpdf import FPDF
from fpdf.bidi import auto_detect_base_direction
from fpdf.enums import Align as FpdfAlign
from fpdf.fonts import TTFFont

from notification_service.documents.fonts import Selection, load_faces
from notification_service.documents.pdf.canvas import Align, Font, bars, line_height
from notification_service.documents.pdf.lines import SLACK, break_lines

_FONTS = {Font.TEXT: ("text", ""), Font.BOLD: ("text", "B"), Font.CODE: ("code", "")}
_SPACE = " "
_ALIGNS = {Align.LEFT: FpdfAlign.L, Align.CENTRE: FpdfAlign.C, Align.RIGHT: FpdfAlign.R}


class ShapedCanvas:
    """See Canvas."""

    def __init__(self, selection: Selection) -> None:
        self._pdf = pdf = FPDF(format="A4")
        pdf.alias_nb_pages("")  # a title may well contain "{nb}"
        pdf.set_auto_page_break(auto=False)
        pdf.c_margin = 0
        pdf.add_font("text", "", selection.text.path)
        pdf.add_font("text", "B", selection.bold.path)
        pdf.add_font("code", "", selection.code.path)
        pdf.set_fallback_fonts(["code"], exact_match=False)
        faces = load_faces()
        # These stand side by side, which takes fpdf2 a third of the time: most of a page does.
        self._plain = faces.common.characters | faces.code.characters
        self._widths = {font: _Widths(self, font) for font in Font}

    def add_page(self) -> None:
        self._pdf.add_page()

    def count_lines(self, text: str, font: Font, size: float, width: float) -> int:
        return len(self._break(text, font, size, width))

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
        lines = self._break(text, font, size, width)
        self._pdf.set_text_color(round(grey * 255))
        self._set(text, font, size)
        for line in lines:
            self._pdf.set_xy(x, y)
            self._pdf.cell(width, line_height(size), line, align=_ALIGNS[align])
            y += line_height(size)

    def text_width(self, text: str, font: Font, size: float) -> float:
        self._set(text, font, size)
        return self._pdf.get_string_width(text)

    def line(
        self, x: float, y: float, to_x: float, to_y: float, *, thick: float, dash: float = 0
    ) -> None:
        self._pdf.set_line_width(thick)
        self._pdf.set_dash_pattern(dash=dash, gap=dash)
        self._pdf.line(x, y, to_x, to_y)
        self._pdf.set_dash_pattern()

    def round_rectangle(
        self, x: float, y: float, width: float, height: float, radius: float, *, thick: float
    ) -> None:
        self._pdf.set_line_width(thick)
        self._pdf.rect(x, y, width, height, round_corners=True, corner_radius=radius)

    def notch(self, x: float, y: float, radius: float, *, to_right: bool, thick: float) -> None:
        self._pdf.set_draw_color(255)
        self._pdf.set_line_width(3 * thick)
        self._pdf.line(x, y - radius, x, y + radius)
        self._pdf.set_draw_color(0)
        self._pdf.set_line_width(thick)
        start = 270 if to_right else 90
        self._pdf.arc(x - radius, y - radius, 2 * radius, start, start + 180)

    def squares(self, rows: Sequence[Sequence[int]], x: float, y: float, side: float) -> None:
        self._pdf.set_fill_color(0)
        for number, row in enumerate(rows):
            for start, length in bars(row):
                left, top = x + start * side, y + number * side
                self._pdf.rect(left, top, length * side, side, style="F")

    def save(self, title: str, language: str, created: datetime) -> bytes:
        pdf = self._pdf
        pdf.set_creation_date(created)
        pdf.set_title(title)
        pdf.set_author("Tessera")
        pdf.set_creator("Tessera")
        pdf.set_lang(language)
        return bytes(pdf.output())

    def close(self) -> None:
        for font in self._pdf.fonts.values():
            if isinstance(font, TTFFont):
                font.close()

    def _set(self, text: str, font: Font, size: float) -> None:
        """Have this text, or a line of it, set in this way."""
        self._pdf.set_font(*_FONTS[font], size)
        is_plain = self._plain.issuperset(map(ord, text))
        direction = None if is_plain else auto_detect_base_direction(text)
        self._pdf.set_text_shaping(not is_plain, direction=direction)

    def _break(self, text: str, font: Font, size: float, width: float) -> Sequence[str]:
        room = (width + SLACK) / size
        words = text.split(_SPACE)
        advances: list[float] = []
        for word in words:
            advances += (*self._advances(word, font, room), self._widths[font][_SPACE])
        return tuple(break_lines(text, advances, room))

    def _advances(self, word: str, font: Font, room: float) -> Sequence[float]:
        """How wide each letter is; joined, they are less wide than by themselves."""
        alone = [self._widths[font][letter] for letter in word]
        joined = self._widths[font][word + _SPACE] - self._widths[font][_SPACE]
        if joined > room or not joined:  # it is broken between any two
            return alone
        return [each * joined / sum(alone) for each in alone]


class _Widths(dict[str, float]):
    """How wide words and letters are, in millimetres at one point; shaped once each."""

    def __init__(self, canvas: ShapedCanvas, font: Font) -> None:
        super().__init__()
        self._canvas, self._font = canvas, font

    def __missing__(self, text: str) -> float:
        self[text] = self._canvas.text_width(text, self._font, 1)
        return self[text]
