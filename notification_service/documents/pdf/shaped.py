"""A PDF by fpdf2, for scripts whose letters join, stack or run from right to left."""

from collections.abc import Sequence
from datetime import datetime

from fpdf import FPDF
from fpdf.enums import Align as FpdfAlign
from fpdf.enums import MethodReturnValue, XPos, YPos

from notification_service.documents.fonts import Selection
from notification_service.documents.pdf.canvas import Align, Font, bars, line_height

_FONTS = {Font.TEXT: ("text", ""), Font.BOLD: ("text", "B"), Font.CODE: ("code", "")}
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
        pdf.set_text_shaping()

    def add_page(self) -> None:
        self._pdf.add_page()

    def count_lines(self, text: str, font: Font, size: float, width: float) -> int:
        return len(self._flow(text, font, size, width, Align.LEFT, is_drawn=False))

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
        self._pdf.set_text_color(round(grey * 255))
        self._pdf.set_xy(x, y)
        self._flow(text, font, size, width, align, is_drawn=True)

    def text_width(self, text: str, font: Font, size: float) -> float:
        self._pdf.set_font(*_FONTS[font], size)
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

    def _flow(
        self, text: str, font: Font, size: float, width: float, align: Align, *, is_drawn: bool
    ) -> list[str]:
        self._pdf.set_font(*_FONTS[font], size)
        lines = self._pdf.multi_cell(
            width,
            line_height(size),
            text,
            align=_ALIGNS[align],
            dry_run=not is_drawn,
            output=MethodReturnValue.LINES,
            new_x=XPos.LEFT,
            new_y=YPos.NEXT,
        )
        assert isinstance(lines, list)
        return lines
