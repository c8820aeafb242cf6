"""Watchers, and the one read that tells all of them."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace

import pytest
from tessera.access.v1 import access_pb2

from kit.auth import Caller, Claims
from kit.database import DatabaseUnavailable
from kit.errors import Internal
from ticket_service.availability import domain
from ticket_service.availability.domain import Availability, TooManyWatchers, TooSlow, Update
from ticket_service.availability.hub import MAX_UNREAD, Hub, Watcher
from ticket_service.catalog.domain import EventNotFound, EventState

ANYONE = Caller("gateway")
ADMIN = Caller("gateway", Claims("usr_1", "org_1", access_pb2.ROLE_ADMIN, "ses_1", 0))
STRANGER = Caller("gateway", Claims("usr_2", "org_2", access_pb2.ROLE_ADMIN, "ses_2", 0))


class Box:
    """The events there are, and how often they were looked at."""

    def __init__(self, *event_ids: str) -> None:
        self.events = {event_id: available(event_id, 10) for event_id in event_ids}
        self.looks: list[set[str]] = []
        self.failure: Exception | None = None

    async def look(self, known: Mapping[str, Availability | None]) -> dict[str, Update]:
        self.looks.append(set(known))
        if self.failure:
            raise self.failure
        return {
            event_id: domain.update(known[event_id], self.events[event_id])
            for event_id in known
            if event_id in self.events
        }

    def sell(self, event_id: str) -> None:
        remaining = self.events[event_id].remaining["typ_1"]
        self.events[event_id] = available(event_id, remaining - 1)


def available(
    event_id: str, remaining: int, state: EventState = EventState.PUBLISHED
) -> Availability:
    return Availability(event_id, "org_1", state, {"typ_1": remaining}, None)


class House:
    """A hub on a box, and people who watch."""

    def __init__(self, *event_ids: str, max_watchers: int = 1000) -> None:
        self.box = Box(*event_ids)
        self.hub: Hub[int] = Hub(
            self.box.look, lambda update: update.now.remaining["typ_1"], max_watchers
        )
        self.stack = ExitStack()

    def watch(self, event_id: str = "evt_1", caller: Caller = ANYONE) -> Watcher[int]:
        return self.stack.enter_context(self.hub.watching(event_id, caller))


@pytest.fixture
def house() -> Iterator[House]:
    house = House("evt_1", "evt_2")
    with house.stack:
        yield house


async def unread(watcher: Watcher[int]) -> list[int]:
    """All that a watcher can read now."""
    found = []
    while True:
        try:
            async with asyncio.timeout(0):
                found.append(await watcher.next())
        except TimeoutError:
            return found


async def test_a_watcher_gets_the_state_and_then_every_change(house: House) -> None:
    watcher = house.watch()
    await house.hub.tell_changes()
    assert await unread(watcher) == [10]
    house.box.sell("evt_1")
    await house.hub.tell_changes()
    house.box.sell("evt_1")
    await house.hub.tell_changes()
    assert await unread(watcher) == [9, 8]


async def test_nothing_is_told_unless_something_changed(house: House) -> None:
    watcher = house.watch()
    assert [await house.hub.tell_changes() for _ in range(3)] == [1, 0, 0]
    assert await unread(watcher) == [10]


async def test_many_watchers_of_many_events_are_told_from_one_look(house: House) -> None:
    watchers = [house.watch(event_id) for event_id in ("evt_1", "evt_2") for _ in range(120)]
    await house.hub.tell_changes()
    house.box.sell("evt_1")
    house.box.sell("evt_2")
    await house.hub.tell_changes()
    assert [await unread(watcher) for watcher in watchers[::40]] == [[10, 9]] * 6
    assert house.box.looks == [{"evt_1", "evt_2"}] * 2


async def test_a_change_is_told_only_to_those_who_watch_the_event(house: House) -> None:
    one, other = house.watch("evt_1"), house.watch("evt_2")
    await house.hub.tell_changes()
    house.box.sell("evt_2")
    assert await house.hub.tell_changes() == 1
    assert (await unread(one), await unread(other)) == ([10], [10, 9])


async def test_who_comes_later_is_welcomed_without_a_look(house: House) -> None:
    house.watch()
    await house.hub.tell_changes()
    late = house.watch()
    assert await unread(late) == [10]
    house.box.sell("evt_1")
    await house.hub.tell_changes()
    assert await unread(late) == [9]
    assert len(house.box.looks) == 2


async def test_nobody_looks_while_nobody_watches(house: House) -> None:
    working = asyncio.create_task(house.hub.work())
    house.hub.wake()
    await asyncio.sleep(0)
    assert not house.box.looks
    with house.hub.watching("evt_1", ANYONE) as watcher:
        assert await watcher.next() == 10
        await working
    working = asyncio.create_task(house.hub.work())
    house.hub.wake()
    await asyncio.sleep(0)
    assert len(house.box.looks) == 1
    working.cancel()


async def test_who_reads_too_slowly_is_dismissed_and_the_others_go_on(house: House) -> None:
    slow, quick = house.watch(), house.watch()
    for _ in range(MAX_UNREAD + 1):
        await house.hub.tell_changes()
        house.box.sell("evt_1")
        await quick.next()
    with pytest.raises(TooSlow):
        await slow.next()
    assert await house.hub.tell_changes() == 1
    assert len(await unread(quick)) == 1


async def test_who_is_dismissed_is_not_looked_for(house: House) -> None:
    house.watch("evt_1")
    house.watch("evt_2")
    for _ in range(MAX_UNREAD + 1):
        await house.hub.tell_changes()
        house.box.sell("evt_1")
    await house.hub.tell_changes()
    assert house.box.looks[-1] == {"evt_2"}


async def test_more_watchers_than_may_come_are_refused_until_some_leave() -> None:
    house = House("evt_1", max_watchers=2)
    with house.stack, house.hub.watching("evt_1", ANYONE):
        with house.hub.watching("evt_1", ANYONE), pytest.raises(TooManyWatchers):
            house.watch()
        house.watch()


async def test_who_was_dismissed_counts_until_they_leave() -> None:
    house = House(max_watchers=1)
    with house.stack, house.hub.watching("evt_nowhere", ANYONE) as watcher:
        await house.hub.tell_changes()
        with pytest.raises(EventNotFound):
            await watcher.next()
        with pytest.raises(TooManyWatchers):
            house.watch()


async def test_an_event_that_does_not_exist_is_not_found(house: House) -> None:
    watcher = house.watch("evt_nowhere")
    await house.hub.tell_changes()
    with pytest.raises(EventNotFound):
        await watcher.next()


async def test_an_event_that_is_unpublished_is_gone_but_for_its_admins(house: House) -> None:
    public, stranger, admin = (house.watch(caller=who) for who in (ANYONE, STRANGER, ADMIN))
    await house.hub.tell_changes()
    house.box.events["evt_1"] = available("evt_1", 7, EventState.DRAFT)
    await house.hub.tell_changes()
    for watcher in (public, stranger):
        with pytest.raises(EventNotFound):
            await watcher.next()
    assert await unread(admin) == [10, 7]


async def test_a_draft_that_its_admin_watches_is_not_found_by_others(house: House) -> None:
    house.box.events["evt_1"] = available("evt_1", 10, EventState.DRAFT)
    house.watch(caller=ADMIN)
    await house.hub.tell_changes()
    for who in (ANYONE, STRANGER):
        with pytest.raises(EventNotFound):
            await house.watch(caller=who).next()


async def test_the_public_is_told_nothing_of_what_is_hidden_not_even_that_it_changed() -> None:
    house, public_side = House("evt_1"), {"typ_1": 10}
    house.hub = Hub(house.box.look, lambda update: sum(update.now.remaining.values()), 1000)
    hidden = replace(
        available("evt_1", 10), remaining={**public_side, "typ_2": 5}, hidden=frozenset({"typ_2"})
    )
    house.box.events["evt_1"] = hidden
    with house.stack:
        public, stranger, admin = (house.watch(caller=who) for who in (ANYONE, STRANGER, ADMIN))
        await house.hub.tell_changes()
        house.box.events["evt_1"] = replace(hidden, remaining={**public_side, "typ_2": 4})
        await house.hub.tell_changes()
        late, late_admin = (house.watch(caller=who) for who in (ANYONE, ADMIN))
        house.box.events["evt_1"] = replace(hidden, remaining={"typ_1": 9, "typ_2": 4})
        await house.hub.tell_changes()
        house.box.events["evt_1"] = replace(
            hidden, remaining={"typ_1": 9, "typ_2": 4}, hidden=frozenset()
        )
        await house.hub.tell_changes()
        for watcher in (public, stranger, late):
            assert await unread(watcher) == [10, 9, 13]
        assert await unread(admin) == [15, 14, 13, 13]
        assert await unread(late_admin) == [14, 13, 13]


async def test_a_database_that_is_away_ends_only_who_knows_nothing_yet(house: House) -> None:
    old = house.watch()
    await house.hub.tell_changes()
    house.box.failure, new = DatabaseUnavailable(), house.watch("evt_2")
    with pytest.raises(DatabaseUnavailable):
        await house.hub.tell_changes()
    with pytest.raises(DatabaseUnavailable):
        await new.next()
    house.box.failure = None
    house.box.sell("evt_1")
    await house.hub.tell_changes()
    assert await unread(old) == [10, 9]


async def test_an_unplanned_failure_is_internal_to_who_waits(house: House) -> None:
    house.box.failure, watcher = KeyError("a secret"), house.watch()
    with pytest.raises(KeyError):
        await house.hub.tell_changes()
    with pytest.raises(Internal):
        await watcher.next()
