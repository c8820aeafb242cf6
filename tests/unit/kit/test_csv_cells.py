"""CSV: quoted as RFC 4180 says, and no cell a formula."""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import csv_cells

TEXTS = st.text(alphabet=st.characters(codec="utf-8"))


def read(document: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(document.decode(), newline="")))


def test_lines_end_and_cells_are_quoted_as_rfc_4180_says() -> None:
    rows: list[Sequence[csv_cells.Cell]] = [["a,b", 'say "hi"', "two\nlines", 7, Decimal("-0.50")]]
    assert csv_cells.document(["one", "two", "three", "four", "five"], rows) == (
        b'one,two,three,four,five\r\n"a,b","say ""hi""","two\nlines",7,-0.50\r\n'
    )


@pytest.mark.parametrize(
    "text",
    ['=HYPERLINK("http://evil.example")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1"],
)
def test_text_that_looks_like_a_formula_is_marked_as_text(text: str) -> None:
    assert read(csv_cells.document(["note"], [[text]])) == [["note"], [f"'{text}"]]


@given(st.lists(st.lists(TEXTS, min_size=3, max_size=3)))
def test_every_text_comes_back_and_none_is_a_formula(rows: list[list[str]]) -> None:
    _header, *found = read(csv_cells.document(["a", "b", "c"], rows))
    for cell, text in zip(chain(*found), chain(*rows), strict=True):
        assert cell in (text, f"'{text}")
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_amounts_are_numbers_with_the_currencys_decimals() -> None:
    amounts = [
        csv_cells.amount("EUR", -5),
        csv_cells.amount("JPY", 500),
        csv_cells.amount("BHD", 1),
    ]
    assert csv_cells.document(["a", "b", "c"], [amounts]).splitlines()[1] == b"-0.05,500,0.001"
