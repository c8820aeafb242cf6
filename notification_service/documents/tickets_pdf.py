"""The tickets as a PDF: an A4 page each, for people and scanners to read, black on white."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import segno

from notification_service.documents import fonts
from notification_service.documents.domain import Event, Order, Seat, Ticket
from notification_service.documents.pdf.canvas import Align, Canvas, Font, line_height
from notification_service.documents.pdf.plain import PlainCanvas
from notification_service.documents.pdf.shaped import ShapedCanvas
from notification_service.documents.steps import Steps, at_a_stretch
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
_QR_MASK = 3
_QUIET_MODULES = 4  # the margin scanners need: ISO/IEC 18004, 6.3.8

_PAGES_IN_A_STEP = 10

_THIN, _THICK = 0.4, 0.8  # lines
_GREY = 90 / 255
_CODE_HEIGHT = 8.0
_CODE_SIZE, _SMALLEST_CODE_SIZE = 18.0, 5.0  # points


_Row = tuple[tuple[str, str, float], ...]
"""Labels, values, and which share of the width each has."""


@dataclass(frozen=True, slots=True)
class _Style:
    """How large a text may be and how many lines it gets at each size: it shrinks, then is cut."""

    sizes: tuple[tuple[float, int], ...]  # points, lines
    font: Font = Font.TEXT


_TITLE = _Style(((30, 2), (24, 3), (20, 4), (16, 5), (13, 6)), Font.BOLD)
# Where a seat needs the room.
_SHORT_TITLE = _Style(((30, 1), (24, 2), (20, 3), (16, 4), (13, 5)), Font.BOLD)
_SHORT_FACT = _Style(((15, 1), (12, 1), (10, 2)), Font.BOLD)
_SEAT = _Style(((30, 1), (24, 1), (16, 1), (10, 2)), Font.BOLD)
_FACT = _Style(((15, 2), (12, 3), (10, 4), (8.5, 5)), Font.BOLD)
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
        return self.lines * line_height(self.size)


class _Writer:
    """Writes on one document. Fits each text once, however many tickets repeat it."""

    def __init__(self, selection: fonts.Selection) -> None:
        self.canvas: Canvas = (
            ShapedCanvas(selection) if selection.shaping else PlainCanvas(selection)
        )
        self._selection = selection
        self._fitted: dict[tuple[str, float, _Style], _Fitted] = {}

    def text(
        self,
        text: str,
        style: _Style,
        x: float,
        y: float,
        width: float,
        align: Align = Align.LEFT,
        grey: float = 0,
    ) -> float:
        """Draw `text` in the box at `x`, `y`; return where the text ends below."""
        fitted = self._fit(text, width, style)
        self.canvas.write(fitted.text, style.font, fitted.size, x, y, width, align, grey)
        return y + fitted.height

    def height(self, text: str, style: _Style, width: float) -> float:
        """How much `text` would need."""
        return self._fit(text, width, style).height

    def code(self, text: str, x: float, y: float, width: float) -> None:
        """Draw `text` in letters that tell 0 from O, as large as one line allows."""
        shown = self._selection.show(text)
        # A little less than the width, which sums of rounded numbers may exceed.
        fitting = 0.999 * width / max(self.canvas.text_width(shown, Font.CODE, 1), 0.1)
        size = max(_SMALLEST_CODE_SIZE, min(_CODE_SIZE, fitting))
        y += (_CODE_HEIGHT - line_height(size)) / 2
        self.canvas.write(shown, Font.CODE, size, x, y, width, Align.CENTRE)

    def _fit(self, text: str, width: float, style: _Style) -> _Fitted:
        key = (text, width, style)
        if key not in self._fitted:
            self._fitted[key] = self._measure(self._selection.show(text), width, style)
        return self._fitted[key]

    def _measure(self, text: str, width: float, style: _Style) -> _Fitted:
        for size, most_lines in style.sizes:
            lines = self.canvas.count_lines(text, style.font, size, width)
            if lines <= most_lines:
                return _Fitted(text, size, lines)
        size, most_lines = style.sizes[-1]
        fits, too_long = 0, len(text)
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            cut = text[:middle] + "…"
            if self.canvas.count_lines(cut, style.font, size, width) <= most_lines:
                fits = middle
            else:
                too_long = middle
        return _Fitted(text[:fits].rstrip() + "…", size, most_lines)


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
    ellipsis. CPU work: half a millisecond for each ticket; where letters join or stack up to 7 ms,
    and 150 ms more.
    """
    return at_a_stretch(draw_tickets(event, order, tickets, locale=locale))


def draw_tickets(
    event: Event, order: Order, tickets: Sequence[Ticket], *, locale: str = "en"
) -> Steps[bytes]:
    """What `render_tickets` does, a few pages at a time."""
    assert tickets, "a PDF has at least one page"
    facts = _word_event(event, order, locale)
    each = [_word_ticket(ticket, order, locale) for ticket in tickets]
    page = _Writer(fonts.select(_texts(facts, each)))
    with closing(page.canvas) as canvas:
        for number, (ticket, shown) in enumerate(zip(tickets, each, strict=True)):
            if number % _PAGES_IN_A_STEP == 0:
                yield
            canvas.add_page()
            _draw_card(canvas)
            _draw_head(page, facts, shown)
            _draw_stub(page, ticket.code, facts, shown)
        yield
        return canvas.save(facts.title, locale.replace("_", "-"), order.placed_at)


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


def _draw_card(canvas: Canvas) -> None:
    """The outline of a ticket, with the notches and the dashes where its stub is torn off."""
    right, radius = _CARD_X + _CARD_WIDTH, 4.0
    canvas.round_rectangle(_CARD_X, _CARD_Y, _CARD_WIDTH, _CARD_HEIGHT, radius, thick=_THIN)
    canvas.notch(_CARD_X, _TEAR_Y, radius, to_right=True, thick=_THIN)
    canvas.notch(right, _TEAR_Y, radius, to_right=False, thick=_THIN)
    left, right = _CARD_X + radius + 2, right - radius - 2
    canvas.line(left, _TEAR_Y, right, _TEAR_Y, thick=_THIN, dash=1.5)


def _draw_head(page: _Writer, facts: _Facts, ticket: _TicketFacts) -> None:
    y = _CARD_Y + _PADDING
    half = (_WIDTH - _GUTTER) / 2
    page.text("ADMISSION TICKET", _LABEL, _LEFT, y, half, grey=_GREY)
    page.text(ticket.number, _LABEL, _LEFT + half + _GUTTER, y, half, Align.RIGHT, _GREY)
    page.canvas.line(_LEFT, y + 6, _LEFT + _WIDTH, y + 6, thick=_THICK)
    title = _SHORT_TITLE if ticket.seat else _TITLE
    y = page.text(facts.title, title, _LEFT, y + 12, _WIDTH) + 9
    when = _draw_fact(page, "DATE AND TIME", facts.date, _LEFT, y, half)
    when = page.text(facts.time, _DETAIL, _LEFT, when + 0.5, half)
    when = page.text(facts.zone, _SMALL, _LEFT, when + 0.5, half)
    where = _draw_fact(page, "VENUE", facts.location, _LEFT + half + _GUTTER, y, half)
    _draw_rows(page, ticket, max(when, where))


def _draw_rows(page: _Writer, ticket: _TicketFacts, y: float) -> None:
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


def _row_height(page: _Writer, row: _Row, style: _Style) -> float:
    heights = [page.height(value, style, width) for _, value, _, width in _columns(row)]
    return _LABEL_HEIGHT + max(heights)


def _draw_row(page: _Writer, row: _Row, style: _Style, y: float) -> None:
    for label, value, x, width in _columns(row):
        _draw_fact(page, label, value, x, y, width, style)


def _draw_fact(
    page: _Writer, label: str, value: str, x: float, y: float, width: float, style: _Style = _FACT
) -> float:
    page.text(label, _LABEL, x, y, width, grey=_GREY)
    return page.text(value, style, x, y + _LABEL_HEIGHT, width)


def _draw_stub(page: _Writer, code: str, facts: _Facts, ticket: _TicketFacts) -> None:
    _draw_qr(page.canvas, code, _CARD_X + (_CARD_WIDTH - _QR_SIZE) / 2, _QR_Y)
    y = _QR_Y + _QR_SIZE
    page.code(ticket.code, _LEFT, y, _WIDTH)
    hint = "Show this code at the entrance, on paper or on a screen. It admits one person, once."
    page.text(hint, _SMALL, _LEFT, y + 9, _WIDTH, Align.CENTRE, _GREY)
    y = _CARD_Y + _CARD_HEIGHT - 8
    page.text(facts.order_code, _SMALL, _LEFT, y, _WIDTH * 0.75, grey=_GREY)
    quarter = _WIDTH * 0.25
    page.text("Tessera", _SMALL, _LEFT + 3 * quarter, y, quarter, Align.RIGHT, _GREY)


def _draw_qr(canvas: Canvas, code: str, x: float, y: float) -> None:
    """Squares, not a picture: sharp at any size.

    Trying all eight masks for the best one (ISO/IEC 18004, 7.8.3) would take more than the rest of
    a page does. Codes are random, so that by the standard's own score this one is but 3 % worse.
    """
    matrix = segno.make_qr(code, error="m", mask=_QR_MASK).matrix
    side = _QR_SIZE / (len(matrix) + 2 * _QUIET_MODULES)
    canvas.squares(matrix, x + _QUIET_MODULES * side, y + _QUIET_MODULES * side, side)
