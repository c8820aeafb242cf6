"""CSV (RFC 4180) that a spreadsheet may open: no cell of it is a formula.

A text that begins like a formula gets an apostrophe in front, which spreadsheets take as "this is
text": https://owasp.org/www-community/attacks/CSV_Injection. Numbers are ours, and stay numbers.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal

from kit.money import format_amount

CONTENT_TYPE = "text/csv; charset=utf-8; header=present"

# Of spreadsheets in some locales the full-width ones, too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001

Cell = str | int | Decimal


def document(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """A header and rows as CSV in UTF-8."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return written.getvalue().encode()


def amount(currency_code: str, minor: int) -> Decimal:
    """Minor units as a cell that is a number, with the currency's decimals."""
    return Decimal(format_amount(currency_code, minor))


def _cell(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA):
        return f"'{cell}"
    return cell
