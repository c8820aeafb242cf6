"""The tickets as a PDF: an A4 page each, for people and scanners to read, black on white."""

from collections.abc import Sequence
from dataclasses import dataclass

import segno
from fpdf import FPDF
from fpdf.enums import Align, MethodReturnValue, XPos, YPos

from notification_service.documents import fonts
from notification_service.documents.domain import Event, Order, Seat, Ticket
from notification_service.documents.wording import clean, format_money, format_when

# Millimetres on an A4 page.
_CARD_X, _CARD_Y, _CARD_WIDTH, _CARD_HEIGHT = 15.0, 15.0, 180.0, 258.0
_PADDING = 12.0
_LEFT = _CARD_X + _PADDING
_WIDTH = _CARD_WIDTH - 2 * _PADDING
_GUTTER = 8.0
_TEAR_Y = 150.0
_HEAD_END = _TEAR_Y - 5.0
_ROW_GAP = 8.0
_LABEL_HEIGHT = 4.5
_QR_SIZE = 84.0
_QR_Y = _TEAR_Y + 8.0
_QUIET_MODULES = 4  # the margin scanners need: ISO/IEC 18004, 6.3.8

_MM_PER_POINT = 25.4 / 72
_LEADING = 1.2
_GREY = 90


_Row = tuple[tuple[str, str, float], ...]
"""Labels, values, and which share of the width each has."""


@dataclass(frozen=True, slots=True)
class _Style:
    """How large a text may be and how many lines it gets at each size: it shrinks, then is cut."""

    sizes: tuple[tuple[float, int], ...]  # points, lines
    bold: bool = False


_TITLE = _Style(((30, 2), (24, 3), (20, 4), (16, 5), (13, 6)), bold=True)
# Where a seat needs the room.
_SHORT_TITLE = _Style(((30, 1), (24, 2), (20, 3), (16, 4), (13, 5)), bold=True)
_SHORT_FACT = _Style(((15, 1), (12, 1), (10, 2)), bold=True)
_SEAT = _Style(((30, 1), (24, 1), (16, 1), (10, 2)), bold=True)
_FACT = _Style(((15, 2), (12, 3), (10, 4), (8.5, 5)), bold=True)
_DETAIL = _Style(((12, 2), (9, 3)))
_SMALL = _Style(((9, 1), (7, 2)))
_LABEL = _Style(((8, 1),))


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A text as it will be drawn: cut to fit, at a size in points, in so many lines."""

    text: str
    size: float
    lines: int

    @property
    def height(self) -> float:
        return self.lines * self.size * _MM_PER_POINT * _LEADING


class _Page(FPDF):
    """One document's canvas. Fits each text once, however many tickets repeat it."""

    def __init__(self, selection: fonts.Selection) -> None:
        super().__init__(format="A4")
        self._selection = selection
        self._fitted: dict[tuple[str, float, _Style], _Fitted] = {}
        self.alias_nb_pages("")  # a title may well contain "{nb}"
        self.set_auto_page_break(auto=False)
        self.c_margin = 0
        self.add_font("text", "", selection.text.path)
        self.add_font("text", "B", selection.bold.path)
        self.add_font("code", "", selection.code.path)
        self.set_fallback_fonts(["code"], exact_match=False)
        if selection.shaping:
            self.set_text_shaping()

    def write_text(
        self, text: str, style: _Style, x: float, y: float, width: float, align: Align = Align.L
    ) -> float:
        """Draw `text` in the box at `x`, `y`; return where the text ends below."""
        fitted = self._fit(text, width, style)
        self.set_font("text", "B" if style.bold else "", fitted.size)
        self.set_xy(x, y)
        self._flow(fitted.text, width, fitted.size, align)
        return y + fitted.height

    def height(self, text: str, style: _Style, width: float) -> float:
        """How much `write_text` would need."""
        return self._fit(text, width, style).height

    def write_code(self, text: str, x: float, y: float, width: float) -> None:
        """Draw `text` in letters that tell 0 from O, as large as one line allows."""
        self.set_font("code", "", 18)
        self.set_font_size(max(5.0, min(18.0, 18.0 * width / max(self.get_string_width(text), 1))))
        self.set_xy(x, y)
        self.cell(width, 8, text, align=Align.C)

    def _fit(self, text: str, width: float, style: _Style) -> _Fitted:
        key = (text, width, style)
        if key not in self._fitted:
            self._fitted[key] = self._measure(self._selection.show(text), width, style)
        return self._fitted[key]

    def _measure(self, text: str, width: float, style: _Style) -> _Fitted:
        for size, most_lines in style.sizes:
            lines = self._count_lines(text, width, size, style)
            if lines <= most_lines:
                return _Fitted(text, size, lines)
        size, most_lines = style.sizes[-1]
        fits, too_long = 0, len(text)
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            if self._count_lines(text[:middle] + "…", width, size, style) <= most_lines:
                fits = middle
            else:
                too_long = middle
        return _Fitted(text[:fits].rstrip() + "…", size, most_lines)

    def _count_lines(self, text: str, width: float, size: float, style: _Style) -> int:
        self.set_font("text", "B" if style.bold else "", size)
        return len(self._flow(text, width, size, Align.L, dry_run=True))

    def _flow(
        self, text: str, width: float, size: float, align: Align, *, dry_run: bool = False
    ) -> list[str]:
        lines = self.multi_cell(
            width,
            size * _MM_PER_POINT * _LEADING,
            text,
            align=align,
            dry_run=dry_run,
            output=MethodReturnValue.LINES,
            new_x=XPos.LEFT,
            new_y=YPos.NEXT,
        )
        assert isinstance(lines, list)
        return lines


@dataclass(frozen=True, slots=True)
class _Facts:
    """What every ticket of an order has in common, in words."""

    title: str
    location: str
    date: str
    time: str
    zone: str
    order_code: str


@dataclass(frozen=True, slots=True)
class _TicketFacts:
    code: str
    ticket_type: str
    holder: str
    price: str
    number: str
    seat: _Row  # empty without a seat


def render_tickets(
    event: Event, order: Order, tickets: Sequence[Ticket], *, locale: str = "en"
) -> bytes:
    """A PDF with a page a ticket. The same input gives the same bytes.

    Characters no typeface here has become a box; texts that do not fit shrink, then end in an
    ellipsis. CPU work: some 30 ms, and 5 ms more for each ticket; 200 ms where letters
    join or stack.
    """
    assert tickets, "a PDF has at least one page"
    facts = _word_event(event, order, locale)
    each = [_word_ticket(ticket, order, locale) for ticket in tickets]
    page = _Page(fonts.select(_texts(facts, each)))
    page.set_creation_date(order.placed_at)
    page.set_title(facts.title)
    page.set_author("Tessera")
    page.set_creator("Tessera")
    page.set_lang(locale.replace("_", "-"))
    for ticket, shown in zip(tickets, each, strict=True):
        page.add_page()
        _draw_card(page)
        _draw_head(page, facts, shown)
        _draw_stub(page, ticket.code, facts, shown)
    return bytes(page.output())


def _word_event(event: Event, order: Order, locale: str) -> _Facts:
    when = format_when(event, locale)
    return _Facts(
        title=clean(event.title),
        location=clean(event.location),
        date=when.date,
        time=when.time,
        zone=when.zone,
        order_code=f"Order {clean(order.code)}",
    )


def _word_ticket(ticket: Ticket, order: Order, locale: str) -> _TicketFacts:
    return _TicketFacts(
        code=clean(ticket.code),
        ticket_type=clean(ticket.ticket_type_name),
        holder=clean(ticket.holder_name),
        price=clean(format_money(ticket.price, order.currency_code, locale)),
        number=f"Ticket {ticket.number} of {ticket.count}",
        seat=_word_seat(ticket.seat) if ticket.seat else (),
    )


def _word_seat(seat: Seat) -> _Row:
    """What the hall has a name for."""
    parts = (("SECTION", seat.section, 0.5), ("ROW", seat.row, 0.25), ("SEAT", seat.number, 0.25))
    return tuple((label, name, share) for label, part, share in parts if (name := clean(part)))


def _texts(facts: _Facts, tickets: Sequence[_TicketFacts]) -> list[str]:
    texts = [facts.title, facts.location, facts.date, facts.time, facts.zone, facts.order_code]
    for ticket in tickets:
        texts += [ticket.ticket_type, ticket.holder, ticket.price]
        texts += [name for _, name, _ in ticket.seat]
    return texts


def _draw_card(page: FPDF) -> None:
    """The outline of a ticket, with the notches and the dashes where its stub is torn off."""
    right, radius = _CARD_X + _CARD_WIDTH, 4.0
    page.set_line_width(0.4)
    page.set_draw_color(0)
    page.rect(_CARD_X, _CARD_Y, _CARD_WIDTH, _CARD_HEIGHT, round_corners=True, corner_radius=radius)
    for x in (_CARD_X, right):
        page.set_draw_color(255)
        page.set_line_width(1.2)
        page.line(x, _TEAR_Y - radius, x, _TEAR_Y + radius)
        page.set_draw_color(0)
        page.set_line_width(0.4)
        start = 270 if x == _CARD_X else 90
        page.arc(x - radius, _TEAR_Y - radius, 2 * radius, start, start + 180)
    page.set_dash_pattern(dash=1.5, gap=1.5)
    page.line(_CARD_X + radius + 2, _TEAR_Y, right - radius - 2, _TEAR_Y)
    page.set_dash_pattern()


def _draw_head(page: _Page, facts: _Facts, ticket: _TicketFacts) -> None:
    y = _CARD_Y + _PADDING
    half = (_WIDTH - _GUTTER) / 2
    page.set_text_color(_GREY)
    page.write_text("ADMISSION TICKET", _LABEL, _LEFT, y, half)
    page.write_text(ticket.number, _LABEL, _LEFT + half + _GUTTER, y, half, Align.R)
    page.set_text_color(0)
    page.set_line_width(0.8)
    page.line(_LEFT, y + 6, _LEFT + _WIDTH, y + 6)
    title = _SHORT_TITLE if ticket.seat else _TITLE
    y = page.write_text(facts.title, title, _LEFT, y + 12, _WIDTH) + 9
    when = _draw_fact(page, "DATE AND TIME", facts.date, _LEFT, y, half)
    when = page.write_text(facts.time, _DETAIL, _LEFT, when + 0.5, half)
    when = page.write_text(facts.zone, _SMALL, _LEFT, when + 0.5, half)
    where = _draw_fact(page, "VENUE", facts.location, _LEFT + half + _GUTTER, y, half)
    _draw_rows(page, ticket, max(when, where))


def _draw_rows(page: _Page, ticket: _TicketFacts, y: float) -> None:
    """What one ticket says, below `y`: the seat large, if there is one, and the rest under it."""
    rest: _Row = (
        ("TICKET TYPE", ticket.ticket_type, 0.4),
        ("HOLDER", ticket.holder, 0.4),
        ("PRICE", ticket.price, 0.2),
    )
    if not ticket.seat:
        _draw_row(page, rest, _FACT, y + _ROW_GAP)
        return
    height = _row_height(page, ticket.seat, _SEAT)
    free = _HEAD_END - y - height - _row_height(page, rest, _SHORT_FACT)
    gap = min(_ROW_GAP, free / 2)
    _draw_row(page, ticket.seat, _SEAT, y + gap)
    _draw_row(page, rest, _SHORT_FACT, y + gap + height + gap)


def _columns(row: _Row) -> list[tuple[str, str, float, float]]:
    """Labels and values with the left edge and the width of each."""
    room = (_WIDTH - (len(row) - 1) * _GUTTER) / sum(share for _, _, share in row)
    columns, x = [], _LEFT
    for label, value, share in row:
        columns.append((label, value, x, room * share))
        x += room * share + _GUTTER
    return columns


def _row_height(page: _Page, row: _Row, style: _Style) -> float:
    heights = [page.height(value, style, width) for _, value, _, width in _columns(row)]
    return _LABEL_HEIGHT + max(heights)


def _draw_row(page: _Page, row: _Row, style: _Style, y: float) -> None:
    for label, value, x, width in _columns(row):
        _draw_fact(page, label, value, x, y, width, style)


def _draw_fact(
    page: _Page, label: str, value: str, x: float, y: float, width: float, style: _Style = _FACT
) -> float:
    page.set_text_color(_GREY)
    page.write_text(label, _LABEL, x, y, width)
    page.set_text_color(0)
    return page.write_text(value, style, x, y + _LABEL_HEIGHT, width)


def _draw_stub(page: _Page, code: str, facts: _Facts, ticket: _TicketFacts) -> None:
    _draw_qr(page, code, _CARD_X + (_CARD_WIDTH - _QR_SIZE) / 2, _QR_Y)
    page.write_code(ticket.code, _LEFT, _QR_Y + _QR_SIZE, _WIDTH)
    page.set_text_color(_GREY)
    hint = "Show this code at the entrance, on paper or on a screen. It admits one person, once."
    page.write_text(hint, _SMALL, _LEFT, _QR_Y + _QR_SIZE + 9, _WIDTH, Align.C)
    y = _CARD_Y + _CARD_HEIGHT - 8
    page.write_text(facts.order_code, _SMALL, _LEFT, y, _WIDTH * 0.75)
    page.write_text("Tessera", _SMALL, _LEFT + _WIDTH * 0.75, y, _WIDTH * 0.25, Align.R)
    page.set_text_color(0)


def _draw_qr(page: FPDF, code: str, x: float, y: float) -> None:
    """Squares, not a picture: sharp at any size, and neighbours in a row are one rectangle."""
    matrix = segno.make_qr(code, error="m").matrix
    module = _QR_SIZE / (len(matrix) + 2 * _QUIET_MODULES)
    page.set_fill_color(0)
    for row_number, row in enumerate(matrix):
        top = y + (row_number + _QUIET_MODULES) * module
        column = 0
        while column < len(row):
            end = column
            while end < len(row) and row[end]:
                end += 1
            if end > column:
                left = x + (column + _QUIET_MODULES) * module
                page.rect(left, top, (end - column) * module, module, style="F")
            column = end + 1
