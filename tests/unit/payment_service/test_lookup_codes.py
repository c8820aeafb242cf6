"""The one-time code of an order lookup."""

from collections import Counter

from payment_service.lookups.codes import LookupCodes

CODES = LookupCodes(b"a secret of thirty-two characters")


def test_a_code_is_six_digits_and_always_the_same() -> None:
    code = CODES.code("lookup_1")
    assert len(code) == 6
    assert code.isdigit()
    assert CODES.code("lookup_1") == code


def test_a_code_is_its_lookups_only() -> None:
    code = CODES.code("lookup_1")
    assert CODES.is_code("lookup_1", code)
    assert not CODES.is_code("lookup_2", code)
    assert not CODES.is_code("lookup_1", "")
    assert not CODES.is_code("lookup_1", "౧౨౩౪౫౬")


def test_another_installation_has_other_codes() -> None:
    other = LookupCodes(b"another secret, as long as it gets")
    ids = [f"lookup_{number}" for number in range(20)]
    assert [CODES.code(each) for each in ids] != [other.code(each) for each in ids]


def test_every_digit_is_about_as_likely_everywhere() -> None:
    codes = [CODES.code(f"lookup_{number}") for number in range(10_000)]
    for place in range(6):
        counts = Counter(code[place] for code in codes)
        assert all(850 < counts[digit] < 1150 for digit in "0123456789")
