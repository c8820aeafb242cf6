"""Money: integers in minor units inside, decimal strings in major units outside."""

import re
from dataclasses import dataclass

from kit.errors import InvalidArgument

# ISO 4217 (list one of 2026-01): the active currencies by their number of decimals.
_TWO = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY
COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF
IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR
MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG
SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES
WST XCD XCG YER ZAR ZMW ZWG
"""
_ZERO = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_EXPONENTS = {
    code: exponent
    for exponent, codes in ((2, _TWO), (0, _ZERO), (3, _THREE))
    for code in codes.split()
}
_AMOUNT = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")
MAX_MINOR = 10**12  # Stripe takes at most 8 or 12 digits, by currency; sums stay far below 2**63


class UnknownCurrency(InvalidArgument):
    """This is not an ISO 4217 currency."""


class InvalidAmount(InvalidArgument):
    """This is not an amount in the currency."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents) of one currency."""

    currency_code: str
    minor: int

    def __str__(self) -> str:
        return f"{format_amount(self.currency_code, self.minor)} {self.currency_code}"


def exponent(currency_code: str, *, field: str = "currency_code") -> int:
    """The number of decimals of a currency; `field` is what UnknownCurrency blames."""
    try:
        return _EXPONENTS[currency_code]
    except KeyError:
        raise UnknownCurrency.of(field) from None


def parse_amount(currency_code: str, amount: str, *, field: str = "amount") -> int:
    """Minor units of a decimal string that has exactly the currency's decimals."""
    decimals = exponent(currency_code, field=f"{field}.currency_code")
    match = _AMOUNT.fullmatch(amount)
    if match is None or len(match[2] or "") != decimals:
        example = f"{'12'}.{'0' * decimals}".rstrip(".")
        raise InvalidAmount.of(
            f"{field}.amount",
            f"{currency_code} amounts are written with {decimals} decimals, such as {example!r}",
        )
    minor = int(match[1] + (match[2] or ""))
    if minor > MAX_MINOR:
        raise InvalidAmount.of(f"{field}.amount", "this is more than can be charged")
    return minor


def format_amount(currency_code: str, minor: int) -> str:
    """The decimal string of an amount in minor units: `"50.00"`."""
    decimals = exponent(currency_code)
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).zfill(decimals + 1)
    return sign + (f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits)
