"""What happens to messages while the broker's server is down, and when it is back."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select
from tessera.payment.v1.messages_pb2 import PaymentSucceeded
from tessera.ticket.v1.ticket_service_pb2 import CheckIn

from kit import outbox
from kit.broker import BrokerUnavailable, Unroutable
from kit.database import Database, ensure_database, new_metadata, service_url
from tests.integration.kit.support import PATIENCE_S, Bench, Recorder, Server, eventually

OUTBOX_KEY = "payment.succeeded"


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """A service's database with an outbox, on a server that stays up."""
    url = service_url(postgres_url, "payment")
    await ensure_database(url)
    database = Database(url)
    metadata = new_metadata()
    outbox.add_table(metadata)
    async with database.begin() as tx:
        await tx.run_sync(metadata.create_all)
    yield database
    await database.close()


async def announce(database: Database, *orders: str) -> None:
    async with database.begin() as tx:
        for order in orders:
            await outbox.add(tx, PaymentSucceeded(order_id=order))


async def stored(database: Database) -> int:
    async with database.begin() as tx:
        return int(
            (await tx.execute(select(func.count()).select_from(outbox._outbox))).scalar_one()
        )


async def test_publishing_is_refused_during_an_outage_and_works_after_it(
    server: Server, fragile: Bench
) -> None:
    recorder = Recorder()
    await fragile.broker().consume(fragile.queue(), recorder)
    await fragile.observer.publish(fragile.message(1))
    assert await recorder.next_ids(1) == ["msg_1"]

    await server.settle()
    await server.kill()
    async with asyncio.timeout(PATIENCE_S):  # it must not wait for the server
        for _ in range(3):
            with pytest.raises(BrokerUnavailable):
                await fragile.observer.publish(fragile.message(2))
    await server.start()

    await eventually(lambda: fragile.published(3))
    await recorder.until("msg_3")


async def test_message_whose_handler_ran_through_an_outage_is_handled_or_comes_again(
    server: Server, fragile: Bench
) -> None:
    restarted, finished = asyncio.Event(), []

    async def wait_for_restart(message: object) -> None:
        await restarted.wait()
        finished.append(message)

    recorder, queue = Recorder(wait_for_restart), fragile.queue()
    await fragile.broker().consume(queue, recorder)
    await fragile.observer.publish(fragile.message(1))
    await recorder.next()

    await server.settle()
    await server.kill()
    await server.start()
    restarted.set()
    await eventually(lambda: fragile.published(2))

    await recorder.until("msg_2")
    assert fragile.message(1) in finished
    assert await fragile.rest(queue, 0)


async def test_messages_survive_the_death_of_the_server(server: Server, fragile: Bench) -> None:
    queue, recorder, consumer = fragile.queue(), Recorder(), fragile.broker()
    await consumer.consume(queue, Recorder())  # binds the queue
    await consumer.close()
    await server.settle()
    for number in range(5):
        await fragile.observer.publish(fragile.message(number))

    await server.kill()
    await server.start()

    await fragile.broker().consume(queue, recorder)
    assert sorted(await recorder.next_ids(5)) == [f"msg_{number}" for number in range(5)]


async def test_message_that_waits_for_its_retry_survives_the_death_of_the_server(
    server: Server, fragile: Bench
) -> None:
    failed = False

    async def fail_once(_message: object) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise ValueError("once")

    queue, recorder = fragile.queue(retry_delays_s=(1,)), Recorder(fail_once)
    await fragile.broker().consume(queue, recorder)
    await server.settle()
    await fragile.observer.publish(fragile.message())
    await recorder.next()

    await server.kill()
    await server.start()

    assert await recorder.next_ids(1) == ["msg_1"]


async def test_outbox_outlives_an_outage(
    server: Server, fragile: Bench, database: Database
) -> None:
    fragile.routing_key = OUTBOX_KEY
    recorder = Recorder()
    await fragile.broker().consume(fragile.queue(), recorder)

    await server.settle()
    await server.kill()
    await announce(database, "ord_1", "ord_2", "ord_3")
    with pytest.raises(BrokerUnavailable):
        await outbox.relay(database, fragile.observer)
    assert await stored(database) == 3
    await server.start()

    await eventually(lambda: relayed(database, fragile))
    orders: set[str] = set()
    while orders != {"ord_1", "ord_2", "ord_3"}:  # each at least once
        orders.add(json.loads((await recorder.next()).body)["order_id"])
    assert await stored(database) == 0


async def relayed(database: Database, bench: Bench) -> bool:
    try:
        await outbox.relay(database, bench.observer)
    except BrokerUnavailable:
        return False
    return await stored(database) == 0


async def test_a_message_that_no_queue_takes_keeps_no_other_waiting(
    bench: Bench, database: Database
) -> None:
    bench.routing_key = OUTBOX_KEY
    recorder = Recorder()
    await bench.broker().consume(bench.queue(), recorder)
    async with database.begin() as tx:
        await outbox.add(tx, CheckIn())  # `check.in`: nobody listens
    await announce(database, "ord_1")

    with pytest.raises(Unroutable):
        await outbox.relay(database, bench.observer)

    assert json.loads((await recorder.next()).body)["order_id"] == "ord_1"
    assert await stored(database) == 1


async def test_two_relays_at_once_lose_nothing(bench: Bench, database: Database) -> None:
    bench.routing_key = OUTBOX_KEY
    recorder, queue = Recorder(), bench.queue()
    await bench.broker().consume(queue, recorder)
    orders = [f"ord_{number}" for number in range(250)]
    await announce(database, *orders)

    async def relay_all() -> None:
        broker = bench.broker()
        while await stored(database):
            await outbox.relay(database, broker)

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(relay_all(), relay_all())

    relayed_orders = {json.loads((await recorder.next()).body)["order_id"] for _ in orders}
    assert relayed_orders == set(orders)
