"""The token that opens one order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.orders.tokens import OrderTokens

TOKENS = OrderTokens(b"a secret of thirty-two characters")


def test_token_opens_its_order() -> None:
    token = TOKENS.token("ord_1")
    assert token.startswith("ordtok_")
    assert TOKENS.order_of(token) == "ord_1"


def test_token_is_the_same_every_time() -> None:
    assert TOKENS.token("ord_1") == TOKENS.token("ord_1")


def test_token_of_another_installation_opens_nothing() -> None:
    assert OrderTokens(b"another secret, as long as it gets").order_of(TOKENS.token("ord_1")) == ""


def test_token_of_another_order_does_not_open_this_one() -> None:
    mac = TOKENS.token("ord_1").partition(".")[2]
    assert TOKENS.order_of(f"ordtok_ord_2.{mac}") == ""


@pytest.mark.parametrize("cut", range(1, 33))
def test_truncated_token_opens_nothing(cut: int) -> None:
    assert TOKENS.order_of(TOKENS.token("ord_1")[:-cut]) == ""


@pytest.mark.parametrize("token", ["", "ordtok_", "ordtok_ord_1", "ordtok_.", "ordtok_ord_1.", "."])
def test_token_without_its_parts_opens_nothing(token: str) -> None:
    assert TOKENS.order_of(token) == ""


@given(st.integers(min_value=0), st.characters(exclude_categories=["Cs"]))
def test_altered_token_opens_nothing(at: int, character: str) -> None:
    token = TOKENS.token("ord_1")
    at = len("ordtok_") + at % (len(token) - len("ordtok_"))
    altered = token[:at] + character + token[at + 1 :]
    assert altered == token or TOKENS.order_of(altered) == ""


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_no_text_is_a_token(text: str) -> None:
    assert TOKENS.order_of(text) == ""
