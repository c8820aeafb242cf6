"""What Stripe accepts in each currency: https://docs.stripe.com/currencies."""

from deploy.local.stripe_sandbox.errors import StripeError, invalid_request

ZERO_DECIMAL = {
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv",
    "xaf", "xof", "xpf",
}  # fmt: skip
THREE_DECIMAL = {"bhd", "jod", "kwd", "omr", "tnd"}
TWO_DECIMAL = {
    "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt",
    "bgn", "bmd", "bnd", "bob", "brl", "bsd", "bwp", "byn", "bzd", "cad", "cdf", "chf", "cny",
    "cop", "crc", "cve", "czk", "dkk", "dop", "dzd", "egp", "etb", "eur", "fjd", "fkp", "gbp",
    "gel", "gip", "gmd", "gtq", "gyd", "hkd", "hnl", "htg", "huf", "idr", "ils", "inr", "isk",
    "jmd", "kes", "kgs", "khr", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl",
    "mkd", "mmk", "mnt", "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio",
    "nok", "npr", "nzd", "pab", "pen", "pgk", "php", "pkr", "pln", "qar", "ron", "rsd", "rub",
    "sar", "sbd", "scr", "sek", "sgd", "shp", "sle", "sos", "srd", "std", "szl", "thb", "tjs",
    "top", "try", "ttd", "twd", "tzs", "uah", "usd", "uyu", "uzs", "wst", "xcd", "yer", "zar",
    "zmw",
}  # fmt: skip

MINIMUM = {
    "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200,
    "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "usd": 50,
}  # fmt: skip
MAXIMUM = 99_999_999

# Percentage and fixed part of the fee for a domestic card, as Stripe's price lists give them.
FEES = {"eur": (0.015, 25), "gbp": (0.015, 20), "usd": (0.029, 30), "jpy": (0.036, 0)}
OTHER_FEES = (0.029, 30)

SIGNS = {"eur": "€", "gbp": "£", "usd": "$", "jpy": "¥"}


def check_currency(currency: str) -> None:
    if currency not in TWO_DECIMAL | ZERO_DECIMAL | THREE_DECIMAL:
        raise invalid_request(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: "
            f"{', '.join(sorted(TWO_DECIMAL | ZERO_DECIMAL | THREE_DECIMAL))}",
            param="currency",
        )


def check_amount(amount: int, currency: str) -> None:
    minimum = MINIMUM.get(currency, 1)
    if amount < minimum:
        raise _amount_error("at least", minimum, currency, "amount_too_small")
    if amount > MAXIMUM:
        raise _amount_error("no more than", MAXIMUM, currency, "amount_too_large")
    if currency in THREE_DECIMAL and amount % 10:
        raise invalid_request(
            f"Invalid amount: {currency} amounts must be a multiple of 10.",
            param="amount",
            code="parameter_invalid_integer",
        )


def _amount_error(bound: str, limit: int, currency: str, code: str) -> StripeError:
    return invalid_request(
        f"Amount must be {bound} {money(limit, currency)} {currency}", param="amount", code=code
    )


def money(amount: int, currency: str) -> str:
    """As Stripe's messages write it: `€10.00`."""
    decimals = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    return f"{SIGNS.get(currency, '')}{amount / 10**decimals:,.{decimals}f}"


def processing_fee(amount: int, currency: str) -> int:
    rate, fixed = FEES.get(currency, OTHER_FEES)
    return round(amount * rate) + fixed
