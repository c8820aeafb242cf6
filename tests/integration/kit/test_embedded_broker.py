"""What only the embedded broker can do wrong."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select, text, update

from kit.broker import BrokerUnavailable, Message, Queue
from kit.database import Database, service_url
from kit.embedded_broker import EmbeddedBroker
from kit.embedded_store import messages
from kit.settings import InvalidSetting
from tests.integration.kit.support import Bench, Recorder, eventually


@pytest.fixture
async def bench(postgres_url: str) -> AsyncIterator[Bench]:
    bench = Bench("", postgres_url)
    yield bench
    await bench.close()


@pytest.fixture
async def database(bench: Bench) -> AsyncIterator[Database]:
    """A way past the broker under test."""
    database = Database(service_url(bench.database_url, "broker"), pool_size=1)
    yield database
    await database.close()


@pytest.fixture
async def never_polling(bench: Bench) -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(service_url(bench.database_url, "broker"), poll_s=3600)
    yield broker
    await broker.close()


async def end_other_connections(database: Database) -> None:
    async with database.begin() as tx:
        await tx.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


async def test_brokers_that_start_at_once_agree_on_one_database(bench: Bench) -> None:
    all_brokers, recorder = [bench.broker() for _ in range(4)], Recorder()
    queue = bench.queue()
    await asyncio.gather(*(broker.consume(queue, recorder) for broker in all_brokers))

    await asyncio.gather(*(broker.publish(bench.message()) for broker in all_brokers))

    assert await recorder.next_ids(4) == ["msg_1"] * 4


async def test_news_needs_no_poll(bench: Bench, never_polling: EmbeddedBroker) -> None:
    recorder = Recorder()
    await never_polling.consume(bench.queue(concurrency=1), recorder)

    for number in range(3):
        await bench.observer.publish(bench.message(number))

    assert await recorder.next_ids(3) == ["msg_0", "msg_1", "msg_2"]


async def test_backlog_needs_no_poll(bench: Bench, never_polling: EmbeddedBroker) -> None:
    queue = bench.queue(concurrency=4)
    await never_polling.consume(queue, first := Recorder())
    await bench.observer.publish(bench.message())
    await first.next()
    turns = random.Random(4)

    async def take_a_while(_message: Message) -> None:
        await asyncio.sleep(turns.choice((0, 0, 0.001, 0.003, 0.01)))

    other = EmbeddedBroker(service_url(bench.database_url, "broker"), poll_s=3600)
    await never_polling.close()
    for number in range(100):
        await bench.observer.publish(bench.message(number))
    await other.consume(queue, recorder := Recorder(take_a_while))

    assert sorted(await recorder.next_ids(100)) == sorted(f"msg_{n}" for n in range(100))
    await other.close()


async def test_retry_needs_no_poll(bench: Bench, never_polling: EmbeddedBroker) -> None:
    async def fail(_message: Message) -> None:
        raise ValueError("never")

    recorder = Recorder(fail)
    await never_polling.consume(bench.queue(retry_delays_s=(0.1,)), recorder)

    await bench.observer.publish(bench.message())

    assert await recorder.next_ids(2) == ["msg_1", "msg_1"]


async def test_lost_connections_are_noticed_without_a_poll(
    bench: Bench, database: Database, never_polling: EmbeddedBroker
) -> None:
    recorder = Recorder()
    await never_polling.consume(bench.queue(), recorder)
    await bench.observer.publish(bench.message(1))
    assert await recorder.next_ids(1) == ["msg_1"]

    await end_other_connections(database)
    await eventually(lambda: bench.published(2))

    await recorder.until("msg_2")


async def test_handler_that_lost_its_claim_settles_nothing(
    bench: Bench, database: Database
) -> None:
    late_may_end, heir_may_end = asyncio.Event(), asyncio.Event()

    async def end_late(_message: Message) -> None:
        await late_may_end.wait()

    async def fail_in_the_end(_message: Message) -> None:
        await heir_may_end.wait()
        raise ValueError("it is mine to fail")

    queue, late, heir = bench.queue(concurrency=1), Recorder(end_late), Recorder(fail_in_the_end)
    late_broker = bench.broker()
    await late_broker.consume(queue, late)
    await bench.observer.publish(bench.message())
    await late.next()
    await end_other_connections(database)
    await bench.broker().consume(queue, heir)
    await heir.next()

    late_may_end.set()
    await late_broker.close()
    heir_may_end.set()

    await eventually(lambda: bench.rest(queue, 1))


async def test_message_that_processes_keep_dying_of_rests(bench: Bench, database: Database) -> None:
    queue, first_run = bench.queue(), bench.broker()
    await first_run.consume(queue, Recorder())
    await first_run.close()
    await bench.observer.publish(bench.message(1))
    async with database.begin() as tx:
        nobody = 2**31 - 1
        await tx.execute(update(messages).values(claimed_by=nobody, deliveries=20))
    recorder = Recorder()

    await bench.broker().consume(queue, recorder)

    await eventually(lambda: bench.rest(queue, 1))
    await bench.observer.publish(bench.message(2))
    assert await recorder.next_ids(1) == ["msg_2"]


async def test_handled_messages_leave_nothing_behind(bench: Bench, database: Database) -> None:
    broker, recorder = bench.broker(), Recorder()
    await broker.consume(bench.queue(), recorder)
    for number in range(5):
        await broker.publish(bench.message(number))
    await recorder.next_ids(5)
    await broker.close()

    async with database.begin() as tx:
        count = select(func.count()).select_from(messages)
        assert (await tx.execute(count)).scalar_one() == 0


async def test_database_that_cannot_be_used_is_said_in_a_sentence(bench: Bench) -> None:
    nowhere = service_url("postgresql://tessera:secret@127.0.0.1:1/tessera", "broker")
    broker = EmbeddedBroker(nowhere)
    with pytest.raises(InvalidSetting, match="cannot be used") as caught:
        await broker.consume(Queue("one_service", "thing.done"), Recorder())
    assert "secret" not in str(caught.value)
    with pytest.raises(BrokerUnavailable):
        await broker.publish(bench.message())
    await broker.close()
