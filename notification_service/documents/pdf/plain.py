"""A PDF (ISO 32000-1) put down straight, for scripts whose letters stand side by side.

That is what most tickets are written in, and it needs little: rulers, an embedded typeface, text
and lines. A general library takes 25 times as long, most of it to cut down typefaces anew.
"""

import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b

from notification_service.documents.fonts import Face, Selection
from notification_service.documents.pdf.canvas import (
    PAGE_HEIGHT,
    PAGE_WIDTH,
    POINTS_PER_MM,
    Align,
    Font,
    bars,
    line_height,
)
from notification_service.documents.pdf.embedding import OBJECTS_PER_FONT, embed, write_object
from notification_service.documents.pdf.lines import SLACK, break_lines

_HEADER = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
_CATALOG, _PAGES, _INFO, _FIRST_FONT = 1, 2, 3, 4
_FIRST_PAGE = _FIRST_FONT + OBJECTS_PER_FONT * len(Font)
_QUARTER = 0.5522847498  # how far a Bézier curve's handles are for a quarter of a circle
_TIGHT = 6  # how hard zlib tries on pages
_NO_BREAK_SPACE, _SPACE = "\N{NO-BREAK SPACE}", " "


class PlainCanvas:
    """See Canvas."""

    def __init__(self, selection: Selection) -> None:
        self._faces = {
            Font.TEXT: selection.text,
            Font.BOLD: selection.bold,
            Font.CODE: selection.code,
        }
        self._used: dict[Font, set[str]] = {font: set() for font in Font}
        self._pages: list[list[str]] = []

    def add_page(self) -> None:
        self._pages.append(["2 J"])  # lines end in half a square, as fpdf2's do

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
        # The base line is where fpdf2 has it: both kinds of document look alike.
        y += line_height(size) / 2 + 0.3 * size / POINTS_PER_MM
        for line in self._break(text, font, size, width):
            room = 0.0 if align is Align.LEFT else width - self.text_width(line, font, size)
            left = x + (room / 2 if align is Align.CENTRE else room)
            shown = " ".join(
                f"/{run_font} {size:.2f} Tf <{run.encode('utf-16-be').hex()}> Tj"
                for run_font, run in self._runs(line, font)
            )
            self._draw(f"BT {grey:.3f} g {_point(left, y)} Td {shown} ET")
            y += line_height(size)

    def text_width(self, text: str, font: Font, size: float) -> float:
        return sum(map(self._advances(font).__getitem__, text)) * size / POINTS_PER_MM / 1000

    def line(
        self, x: float, y: float, to_x: float, to_y: float, *, thick: float, dash: float = 0
    ) -> None:
        self._draw(f"q [{dash * POINTS_PER_MM:.2f}] 0 d" if dash else "q")
        self._stroke(thick, f"{_point(x, y)} m {_point(to_x, to_y)} l")
        self._draw("Q")

    def round_rectangle(
        self, x: float, y: float, width: float, height: float, radius: float, *, thick: float
    ) -> None:
        right, bottom = x + width, y + height
        outline = [
            f"{_point(x + radius, y)} m {_point(right - radius, y)} l",
            _corner(right - radius, y, right, y + radius),
            f"{_point(right, bottom - radius)} l",
            _corner(right, bottom - radius, right - radius, bottom, is_upright=True),
            f"{_point(x + radius, bottom)} l",
            _corner(x + radius, bottom, x, bottom - radius),
            f"{_point(x, y + radius)} l",
            _corner(x, y + radius, x + radius, y, is_upright=True),
        ]
        self._stroke(thick, " ".join(outline))

    def notch(self, x: float, y: float, radius: float, *, to_right: bool, thick: float) -> None:
        tip = x + radius if to_right else x - radius
        gap = f"{_point(x, y - radius)} m {_point(x, y + radius)} l"
        self._draw(f"1 G {3 * thick * POINTS_PER_MM:.2f} w {gap} S 0 G")
        upper = _corner(x, y - radius, tip, y)
        lower = _corner(tip, y, x, y + radius, is_upright=True)
        self._stroke(thick, f"{_point(x, y - radius)} m {upper} {lower}")

    def squares(self, rows: Sequence[Sequence[int]], x: float, y: float, side: float) -> None:
        """One path, of neighbours in a row as one rectangle: it has no seams, however large."""
        left, top = x * POINTS_PER_MM, (PAGE_HEIGHT - y) * POINTS_PER_MM
        scale = side * POINTS_PER_MM
        boxes = " ".join(
            f"{start} {number} {length} 1 re"
            for number, row in enumerate(rows)
            for start, length in bars(row)
        )
        self._draw(f"q {scale:.4f} 0 0 {-scale:.4f} {left:.2f} {top:.2f} cm 0 g {boxes} f Q")

    def save(self, title: str, language: str, created: datetime) -> bytes:
        pages = [zlib.compress("\n".join(page).encode(), _TIGHT) for page in self._pages]
        numbers = [_FIRST_PAGE + 2 * index for index in range(len(pages))]
        kids = " ".join(f"{number} 0 R" for number in numbers)
        fonts = " ".join(
            f"/{font} {_FIRST_FONT + OBJECTS_PER_FONT * index} 0 R"
            for index, font in enumerate(Font)
        )
        moment = created.astimezone(UTC).strftime("D:%Y%m%d%H%M%SZ")
        who = _text("Tessera")
        objects = [
            write_object(_CATALOG, f"<</Type/Catalog/Pages {_PAGES} 0 R/Lang{_text(language)}>>"),
            write_object(
                _PAGES,
                f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]"
                f"/MediaBox[0 0 {PAGE_WIDTH * POINTS_PER_MM:.2f} {PAGE_HEIGHT * POINTS_PER_MM:.2f}]"
                f"/Resources<</Font<<{fonts}>>>>>>",
            ),
            write_object(
                _INFO,
                f"<</Title{_text(title)}/Author{who}/Creator{who}/CreationDate({moment})>>",
            ),
        ]
        for index, font in enumerate(Font):
            embedded = embed(self._faces[font], self._used[font])
            objects += embedded.objects(_FIRST_FONT + OBJECTS_PER_FONT * index)
        for number, page in zip(numbers, pages, strict=True):
            about = f"<</Type/Page/Parent {_PAGES} 0 R/Contents {number + 1} 0 R>>"
            objects.append(write_object(number, about))
            length = f"<</Length {len(page)}/Filter/FlateDecode>>"
            objects.append(write_object(number + 1, length, page))
        return _file(objects)

    def close(self) -> None:
        pass

    def _break(self, text: str, font: Font, size: float, width: float) -> Sequence[str]:
        room = (width + SLACK) * POINTS_PER_MM * 1000 / size
        advances = self._advances(font)
        return tuple(break_lines(text, [advances[each] for each in text], room))

    def _runs(self, line: str, font: Font) -> Iterator[tuple[Font, str]]:
        """A line, cut where it goes on in the other typeface, which has the symbols."""
        known = self._faces[font].characters
        line = line.replace(_NO_BREAK_SPACE, _SPACE)
        start = 0
        for position in range(1, len(line) + 1):
            is_known = ord(line[start]) in known
            if position == len(line) or (ord(line[position]) in known) is not is_known:
                run_font = font if is_known else Font.CODE
                self._used[run_font].update(line[start:position])
                yield run_font, line[start:position]
                start = position

    def _advances(self, font: Font) -> "_Advances":
        return _advances(self._faces[font], self._faces[Font.CODE])

    def _stroke(self, thick: float, path: str) -> None:
        self._draw(f"{thick * POINTS_PER_MM:.2f} w {path} S")

    def _draw(self, operators: str) -> None:
        self._pages[-1].append(operators)


class _Advances(dict[str, int]):
    """How wide characters are, in thousandths of their size; looked up once."""

    def __init__(self, face: Face, symbols: Face) -> None:
        super().__init__()
        self._faces = face, symbols

    def __missing__(self, character: str) -> int:
        code = ord(_SPACE if character == _NO_BREAK_SPACE else character)
        face = next(face for face in self._faces if code in face.characters)
        self[character] = face.advances[code]
        return self[character]


@cache
def _advances(face: Face, symbols: Face) -> _Advances:
    return _Advances(face, symbols)


def _point(x: float, y: float) -> str:
    """PDF counts in points from the lower left corner."""
    return f"{x * POINTS_PER_MM:.2f} {(PAGE_HEIGHT - y) * POINTS_PER_MM:.2f}"


def _corner(x: float, y: float, to_x: float, to_y: float, *, is_upright: bool = False) -> str:
    """A quarter of a circle from the current point, which sets out upright or level."""
    across, down = (to_x - x) * _QUARTER, (to_y - y) * _QUARTER
    handles = (
        (_point(x, y + down), _point(to_x - across, to_y))
        if is_upright
        else (_point(x + across, y), _point(to_x, to_y - down))
    )
    return f"{' '.join(handles)} {_point(to_x, to_y)} c"


def _text(text: str) -> str:
    """A string outside of pages (ISO 32000-1, 7.9.2.2)."""
    return f"<feff{text.encode('utf-16-be', 'replace').hex()}>"


def _file(objects: Sequence[bytes]) -> bytes:
    """Objects in the order of their numbers, with the table that says where each begins."""
    offset, entries = len(_HEADER), []
    for each in objects:
        entries.append(b"%010d 00000 n \n" % offset)
        offset += len(each)
    body = b"".join(objects)
    name = blake2b(body, digest_size=16).hexdigest()
    count = len(objects) + 1
    trailer = (
        f"trailer\n<</Size {count}/Root {_CATALOG} 0 R/Info {_INFO} 0 R/ID[<{name}><{name}>]>>\n"
        f"startxref\n{offset}\n%%EOF\n"
    )
    table = b"xref\n0 %d\n0000000000 65535 f \n" % count + b"".join(entries)
    return _HEADER + body + table + trailer.encode()
