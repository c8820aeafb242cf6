"""The stock of one event in the plainest words: what the services are compared with.

Nothing is counted down: what is left is always what there is, less what is held and sold. Ticket
types are numbered in the event's order, seats by their position in its map.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

MAX_PER_ORDER = 3
OFFER_STATES = {
    "ACTIVE": "OFFERED",
    "CONVERTED": "CONVERTED",
    "EXPIRED": "OFFER_EXPIRED",
    "RELEASED": "CANCELLED",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """Tickets of one type: these seats, or so many; of a type with seats, then, beside each other.

    Those may leave a single seat alone if `orphans`.
    """

    kind: int
    quantity: int
    seats: tuple[int, ...] = ()
    orphans: bool = False


@dataclass(slots=True)
class Hold:
    """What was wished for and granted, with the seats that it got."""

    id: str
    wishes: list[Wish] = field(default_factory=list)
    state: str = "ACTIVE"
    order: str = ""
    cancelled: set[int] = field(default_factory=set)  # the numbers of tickets
    given: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def places(self) -> dict[int, tuple[int, int | None]]:
        """The type and the seat of each ticket that there is or will be, by number."""
        places = [
            (wish.kind, wish.seats[place] if wish.seats else None)
            for wish in self.wishes
            for place in range(wish.quantity)
        ]
        return dict(enumerate(places, start=1))

    @property
    def out(self) -> list[tuple[int, int | None]]:
        """What is held or sold: the type and the seat of each."""
        if self.state == "ACTIVE":
            return list(self.places.values())
        return [self.places[number] for number in self.sold]

    @property
    def sold(self) -> set[int]:
        """The numbers of tickets that somebody has."""
        return self.places.keys() - self.cancelled if self.state == "CONVERTED" else set()

    @property
    def tickets(self) -> dict[int, list[str]]:
        """The states of each number's tickets, whoever had them before first."""
        if self.state != "CONVERTED":
            return {}
        return {
            number: ["TRANSFERRED"] * len(self.given[number])
            + ["ISSUED" if number in self.sold else "CANCELLED"]
            for number in self.places
        }


@dataclass(slots=True)
class Quota:
    """A limit for some ticket types together."""

    id: str
    size: int
    kinds: set[int]


@dataclass(slots=True)
class Entry:
    """A place in the line of a ticket type, and what was offered."""

    id: str
    kind: int
    quantity: int
    offer: Hold | None = None
    has_left: bool = False

    @property
    def state(self) -> str:
        if self.offer:
            return OFFER_STATES[self.offer.state]
        return "CANCELLED" if self.has_left else "WAITING"


class Stock:
    """An event on sale. What is refused is answered with its reason, what is granted with `OK`."""

    def __init__(self, rows: Sequence[str], unseated: Sequence[int]) -> None:
        """`rows` such as `AA|B`: seats of types 0 and 1, with an aisle; see `support.stalls`.

        The types after those of the rows have no seats, and a stock instead.
        """
        self.kind_of = [ord(seat) - ord("A") for row in rows for seat in row if seat != "|"]
        self.stretches = list(_stretches(rows))
        self.seated = len(set(self.kind_of))
        self.totals = dict(enumerate(unseated, start=self.seated))
        self.blocked: set[int] = set()
        self.holds: list[Hold] = []
        self.quotas: list[Quota] = []
        self.line: list[Entry] = []

    # What can be seen.

    def total(self, kind: int) -> int:
        if kind < self.seated:
            return sum(self.kind_of[seat] == kind for seat in self._seats() - self.blocked)
        return self.totals[kind]

    def out(self, *kinds: int) -> int:
        """How many tickets of these types are held or sold."""
        return sum(kind in kinds for hold in self.holds for kind, _ in hold.out)

    def left(self, kind: int) -> int:
        """How many can be had: the least of what applies."""
        own = self.total(kind) - self.out(kind)
        shared = [
            quota.size - self.out(*quota.kinds) for quota in self.quotas if kind in quota.kinds
        ]
        return min([own, *shared])

    def letter(self, seat: int) -> str:
        """The state of a seat, as a seat map shows it."""
        for hold in self.holds:
            if any(taken == seat for _, taken in hold.out):
                return "H" if hold.state == "ACTIVE" else "S"
        return "B" if seat in self.blocked else "A"

    @property
    def letters(self) -> str:
        return "".join(map(self.letter, sorted(self._seats())))

    # What customers do.

    def hold(self, wishes: Sequence[Wish], hold_id: str, got: Sequence[tuple[int, ...]]) -> str:
        """Hold what is wished for, all or none. `got` are the seats that the service gave."""
        hold = Hold(hold_id)
        self.holds.append(hold)
        if refusal := self._take(hold, wishes, got or [()] * len(wishes)):
            self.holds.remove(hold)
        return refusal or "OK"

    def release(self, hold: Hold) -> str:
        if hold.state == "CONVERTED":
            return "HOLD_CONVERTED"
        if hold.state == "ACTIVE":
            hold.state = "RELEASED"
        return "OK"

    def expire(self, holds: Iterable[Hold]) -> None:
        for hold in holds:
            hold.state = "EXPIRED"

    def issue(self, hold: Hold, order: str) -> str:
        """Make a hold an order's tickets; one that is gone has to take its stock again."""
        if hold.order == order:
            return "OK"
        if hold.state == "CONVERTED":
            return "HOLD_CONVERTED"
        if hold.state != "ACTIVE":
            taken = Hold(hold.id)
            self.holds.append(taken)
            refusals = [self._take(taken, [wish], [wish.seats]) for wish in hold.wishes]
            self.holds.remove(taken)
            if refusal := next(filter(None, refusals), ""):
                return refusal
        hold.state, hold.order = "CONVERTED", order
        return "OK"

    def cancel(
        self, hold: Hold, order: str, numbers: set[int], *, keep_off_sale: bool = False
    ) -> None:
        """Take tickets of an order back, or give up the hold that was to become them."""
        if hold.state == "CONVERTED" and hold.order == order:
            returned = hold.sold & numbers if numbers else hold.sold
            hold.cancelled |= returned
            for number in returned if keep_off_sale else ():
                self._withdraw(*hold.places[number])
        elif not hold.order and not numbers:
            hold.order = order
            self.release(hold)

    def transfer(
        self, hold: Hold, number: int, transfers: int, name: str, *, by_organizer: bool
    ) -> str:
        """Give the ticket to somebody that so many had before; or say again that it was."""
        given = hold.given[number]
        if transfers < len(given):
            return "OK" if given[transfers] == name else "TICKET_NOT_VALID"
        if number not in hold.sold:
            return "TICKET_NOT_VALID"
        if given and not by_organizer:
            return "TICKET_GIVEN_AWAY"
        given.append(name)
        return "OK"

    def join(self, kind: int, quantity: int, entry_id: str) -> str:
        if quantity > MAX_PER_ORDER:
            return "TOO_MANY_TICKETS"
        if quantity <= self.left(kind):
            return "NOT_SOLD_OUT"
        self.line.append(Entry(entry_id, kind, quantity))
        return "OK"

    def leave(self, entry: Entry) -> str:
        if entry.state == "CONVERTED":
            return "WAITLIST_ENTRY_CONVERTED"
        if entry.offer:
            self.release(entry.offer)
        entry.has_left = True
        return "OK"

    # What admins do.

    def set_total(self, kind: int, total: int) -> str:
        if kind < self.seated:
            return "OK" if total == self.total(kind) else "TICKET_TYPE_IS_SEATED"
        if total < self.out(kind):
            return "STOCK_BELOW_SOLD"
        self.totals[kind] = total
        return "OK"

    def add_quota(self, size: int, kinds: set[int], quota_id: str) -> str:
        if size < self.out(*kinds):
            return "QUOTA_BELOW_SOLD"
        self.quotas.append(Quota(quota_id, size, kinds))
        return "OK"

    def change_quota(self, quota: Quota, size: int, kinds: set[int]) -> str:
        if size < self.out(*kinds):
            return "QUOTA_BELOW_SOLD"
        quota.size, quota.kinds = size, kinds
        return "OK"

    def block(self, seats: set[int]) -> str:
        if any(self.letter(seat) in "HS" for seat in seats):
            return "SEAT_TAKEN"
        self.blocked |= seats
        return "OK"

    def unblock(self, seats: set[int]) -> str:
        self.blocked -= seats
        return "OK"

    def serve(self, offers: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        """Hold what is there for those who wait, first come first served.

        `offers` are the holds that the service made, with their seats, by the entries' ids.
        """
        for entry in self.line:
            wish = Wish(entry.kind, entry.quantity, orphans=True)
            if entry.state != "WAITING" or self._refusal(wish):
                continue
            if not self._refusal_of_seats(wish, ()):
                assert entry.id in offers, f"{entry} could be served"
                hold_id, seats = offers[entry.id]
                assert self.hold([wish], hold_id, [seats]) == "OK", entry
                entry.offer = self.holds[-1]

    # How it is decided.

    def _withdraw(self, kind: int, seat: int | None) -> None:
        """Make a ticket that was sold part of no stock."""
        if seat is None:
            self.totals[kind] -= 1
        else:
            self.blocked.add(seat)
        for quota in self.quotas:
            quota.size -= kind in quota.kinds

    def _take(self, hold: Hold, wishes: Sequence[Wish], got: Sequence[tuple[int, ...]]) -> str:
        """Why a hold is not granted; or nothing, and then it is. Seats are looked for last."""
        for wish in wishes:
            if refusal := self._refusal(wish):
                return refusal
            hold.wishes.append(replace(wish, seats=()))
        for number, (wish, seats) in enumerate(zip(wishes, got, strict=True), -len(wishes)):
            if refusal := self._refusal_of_seats(wish, seats):
                return refusal
            hold.wishes[number] = replace(wish, seats=seats)
        return ""

    def _refusal(self, wish: Wish) -> str:
        """Why so many tickets are not granted; or nothing."""
        if wish.seats and wish.kind >= self.seated:
            return "TICKET_TYPE_NOT_SEATED"
        if wish.quantity > MAX_PER_ORDER:
            return "TOO_MANY_TICKETS"
        return "SOLD_OUT" if wish.quantity > self.left(wish.kind) else ""

    def _refusal_of_seats(self, wish: Wish, got: tuple[int, ...]) -> str:
        """Why seats are not granted, or what is wrong with those that were; or nothing."""
        if wish.kind >= self.seated:
            return ""
        if wish.seats:
            if any(self.kind_of[seat] != wish.kind for seat in wish.seats):
                return "SEAT_NOT_FOUND"
            if any(self.letter(seat) != "A" for seat in wish.seats):
                return "SEAT_TAKEN"
            return "" if got in {(), wish.seats} else "OTHER_SEATS_THAN_NAMED"
        places = list(self._places(wish))
        if not places:
            return "NO_ADJACENT_SEATS"
        return "" if got in {(), *places} else "SEATS_THAT_ARE_NOT_TOGETHER"

    def _places(self, wish: Wish) -> Iterator[tuple[int, ...]]:
        """All seats beside each other that the wish may get."""
        for stretch in self.stretches:
            for is_free, group in groupby(stretch, key=lambda seat: self.letter(seat) == "A"):
                run = list(group)
                if not is_free or self.kind_of[run[0]] != wish.kind:
                    continue
                for start in range(len(run) - wish.quantity + 1):
                    alone = 1 in {start, len(run) - wish.quantity - start}
                    if wish.orphans or not alone:
                        yield tuple(run[start : start + wish.quantity])

    def _seats(self) -> set[int]:
        return set(range(len(self.kind_of)))


def _stretches(rows: Sequence[str]) -> Iterator[list[int]]:
    """The seats, by position, that nothing parts: no aisle, and no seat of another type."""
    position = 0
    for row in rows:
        for _, stretch in groupby(row, key=lambda seat: seat):
            seats = [seat for seat in stretch if seat != "|"]
            if seats:
                yield list(range(position, position + len(seats)))
            position += len(seats)
