"""Money between its proto and the minor units inside."""

from functools import lru_cache

from tessera.type.v1 import money_pb2

from kit.money import Money, format_amount, parse_amount


@lru_cache(maxsize=1024)  # prices are few
def to_proto(currency_code: str, minor: int) -> money_pb2.Money:
    """An amount as the contract shows it: to be put into messages, which copy it."""
    return money_pb2.Money(currency_code=currency_code, amount=format_amount(currency_code, minor))


def from_proto(money: money_pb2.Money, *, field: str) -> Money:
    """An amount in minor units; InvalidAmount and UnknownCurrency blame `field`."""
    return Money(money.currency_code, parse_amount(money.currency_code, money.amount, field=field))
