"""How many tickets can be taken: of a ticket type, and of the quotas that it shares with others."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from kit.errors import FailedPrecondition

# Signalled when stock has changed: whoever shows what remains looks again.
CHANGED = "stock"


class SoldOut(FailedPrecondition):
    """Fewer tickets remain than were asked for."""


@dataclass(frozen=True, slots=True)
class Stock:
    """What a hold needs to know about a ticket type. Prices are minor units."""

    ticket_type_id: str
    name: str
    price_minor: int
    remaining: int
    max_per_order: int
    sales_start: datetime | None
    sales_end: datetime | None
    is_seated: bool = False
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Freed:
    """What nobody has any more: tickets by ticket type, seats by event."""

    quantities: Mapping[str, int] = field(default_factory=dict)
    seat_ids: Mapping[str, Collection[str]] = field(default_factory=dict)


class Shelf:
    """Some ticket types of an event and their quotas, to take from: a working copy.

    What was `taken` and `withdrawn`, also of quotas, is what the database must be told.
    """

    def __init__(
        self,
        stocks: Iterable[Stock],
        quotas: Mapping[str, int] | None = None,
        quotas_of: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """`quotas`: what remains of each; `quotas_of`: those that a ticket type draws on."""
        self._stocks = {stock.ticket_type_id: stock for stock in stocks}
        self._left = {key: stock.remaining for key, stock in self._stocks.items()}
        self._quotas = dict(quotas or {})
        self._quotas_of = quotas_of or {}
        self.taken: Counter[str] = Counter()
        self.taken_of_quotas: Counter[str] = Counter()
        self.withdrawn: Counter[str] = Counter()
        self.withdrawn_of_quotas: Counter[str] = Counter()

    def stock(self, ticket_type_id: str) -> Stock | None:
        """The ticket type as it is, or None if it is not of this event."""
        return self._stocks.get(ticket_type_id)

    def left(self, ticket_type_id: str) -> int:
        """How many can be taken now: the least of what applies."""
        left = self._left[ticket_type_id]
        for quota in self._quotas_of.get(ticket_type_id, ()):
            left = min(left, self._quotas[quota])
        return left

    def take(self, ticket_type_id: str, quantity: int) -> None:
        """Take tickets off the shelf; a negative quantity puts them back.

        Raises:
            SoldOut: there are fewer.
        """
        if quantity > (left := self.left(ticket_type_id)):
            raise SoldOut(metadata={"ticket_type_id": ticket_type_id, "remaining": str(left)})
        self._left[ticket_type_id] -= quantity
        self.taken[ticket_type_id] += quantity
        for quota in self._quotas_of.get(ticket_type_id, ()):
            self._quotas[quota] -= quantity
            self.taken_of_quotas[quota] += quantity

    def withdraw(self, ticket_type_id: str, quantity: int) -> None:
        """Make tickets that were sold, and came back, part of no stock: what is left stays."""
        self.withdrawn[ticket_type_id] += quantity
        for quota in self._quotas_of.get(ticket_type_id, ()):
            self.withdrawn_of_quotas[quota] += quantity
