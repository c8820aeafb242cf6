"""What every broker promises: the same tests for RabbitMQ and for the embedded one."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kit import telemetry
from kit.broker import BrokerUnavailable, Message, Queue, Unprocessable
from tests.integration.kit.support import Bench, Recorder, eventually


async def fail(_message: Message) -> None:
    raise ValueError("this never works")


async def refuse(_message: Message) -> None:
    raise Unprocessable("nobody can read this")


class Gate:
    """Handlers wait here; it counts them."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.waiting = 0
        self.most_waiting = 0

    async def __call__(self, _message: Message) -> None:
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        await self.opened.wait()
        self.waiting -= 1


async def test_every_service_gets_its_own_copy_once(bench: Bench) -> None:
    broker, one, other = bench.broker(), Recorder(), Recorder()
    await broker.consume(bench.queue("one_service"), one)
    await broker.consume(bench.queue("other_service"), other)

    for number in range(5):
        await broker.publish(bench.message(number))

    expected = [f"msg_{number}" for number in range(5)]
    assert sorted(await one.next_ids(5)) == expected
    assert sorted(await other.next_ids(5)) == expected
    await broker.close()
    assert one.idle
    assert other.idle


async def test_message_arrives_as_it_was_sent_and_in_its_trace(bench: Bench) -> None:
    traces = []

    async def note_trace(_message: Message) -> None:
        traces.append(telemetry.traceparent.get())

    broker, recorder = bench.broker(), Recorder(note_trace)
    await broker.consume(bench.queue(), recorder)
    trace = telemetry.new_traceparent()
    message = bench.message(traceparent=trace, version="3")

    await broker.publish(message)

    assert await recorder.next() == message
    await broker.close()
    assert traces == [trace]


async def test_message_that_no_queue_takes_is_refused(bench: Bench) -> None:
    with pytest.raises(BrokerUnavailable, match="No queue takes this message"):
        await bench.broker().publish(bench.message())


async def test_failed_message_comes_back_after_each_delay_and_then_rests(bench: Bench) -> None:
    broker, recorder = bench.broker(), Recorder(fail)
    queue = bench.queue(retry_delays_s=(0.1, 0.2))
    await broker.consume(queue, recorder)
    message = bench.message(version="3")

    await broker.publish(message)

    assert [await recorder.next() for _ in range(3)] == [message] * 3
    await eventually(lambda: bench.rest(queue, 1))
    assert recorder.idle


async def test_message_whose_handler_recovers_is_done(bench: Bench) -> None:
    attempts = 0

    async def fail_once(_message: Message) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ConnectionError("try again")

    broker, recorder = bench.broker(), Recorder(fail_once)
    queue = bench.queue(retry_delays_s=(0.05, 0.05))
    await broker.consume(queue, recorder)

    await broker.publish(bench.message(1))
    assert await recorder.next_ids(2) == ["msg_1", "msg_1"]
    await broker.publish(bench.message(2))
    assert await recorder.next_ids(1) == ["msg_2"]

    await broker.close()
    assert recorder.idle
    assert await bench.rest(queue, 0)


async def test_handler_that_takes_too_long_has_failed(bench: Bench) -> None:
    broker, recorder = bench.broker(), Recorder(Gate())
    queue = bench.queue(handler_timeout_s=0.05)
    await broker.consume(queue, recorder)

    await broker.publish(bench.message())

    await eventually(lambda: bench.rest(queue, 1))
    assert await recorder.next_ids(1) == ["msg_1"]


async def test_call_cancelled_inside_a_handler_is_a_failure_like_any_other(bench: Bench) -> None:
    async def give_up(_message: Message) -> None:
        raise asyncio.CancelledError

    broker, queue = bench.broker(), bench.queue()
    await broker.consume(queue, give_up)

    await broker.publish(bench.message())

    await eventually(lambda: bench.rest(queue, 1))


async def test_unprocessable_message_rests_at_once(bench: Bench) -> None:
    broker, recorder = bench.broker(), Recorder(refuse)
    queue = bench.queue(retry_delays_s=(0.05, 0.05))
    await broker.consume(queue, recorder)

    await broker.publish(bench.message())

    await eventually(lambda: bench.rest(queue, 1))
    assert await recorder.next_ids(1) == ["msg_1"]
    assert recorder.idle


async def test_queue_without_dead_letters_has_none(bench: Bench) -> None:
    assert await bench.rest(bench.queue("service_that_never_ran"), 0)


async def test_stopped_consumer_gets_what_was_published_meanwhile(bench: Bench) -> None:
    queue, publisher, recorder = bench.queue(), bench.broker(), Recorder()
    first_run = bench.broker()
    await first_run.consume(queue, recorder)
    await first_run.close()

    await publisher.publish(bench.message())
    assert recorder.idle

    await bench.broker().consume(queue, recorder)
    assert await recorder.next_ids(1) == ["msg_1"]


async def test_consumers_of_one_queue_share_its_messages(bench: Bench) -> None:
    queue, gate = bench.queue(concurrency=1), Gate()
    one, other = Recorder(gate), Recorder(gate)
    publisher = bench.broker()
    await bench.broker().consume(queue, one)
    await bench.broker().consume(queue, other)

    await publisher.publish(bench.message(1))
    await publisher.publish(bench.message(2))

    got = [*await one.next_ids(1), *await other.next_ids(1)]
    gate.opened.set()
    assert sorted(got) == ["msg_1", "msg_2"]


async def test_consumers_that_hurry_for_the_same_messages_get_each_once(bench: Bench) -> None:
    queue, publisher, recorder = bench.queue(concurrency=3), bench.broker(), Recorder()
    hurrying = [bench.broker() for _ in range(3)]
    for broker in hurrying:
        await broker.consume(queue, recorder)

    for number in range(60):
        await publisher.publish(bench.message(number))

    assert sorted(await recorder.next_ids(60)) == sorted(f"msg_{n}" for n in range(60))
    for broker in hurrying:
        await broker.close()
    assert recorder.idle


async def test_one_process_handles_only_so_many_messages_at_a_time(bench: Bench) -> None:
    gate, broker = Gate(), bench.broker()
    recorder = Recorder(gate)
    await broker.consume(bench.queue(concurrency=2), recorder)

    for number in range(6):
        await broker.publish(bench.message(number))
    await recorder.next_ids(2)
    gate.opened.set()
    await recorder.next_ids(4)

    assert gate.most_waiting == 2


async def test_order_is_kept_for_one_consumer(bench: Bench) -> None:
    broker, recorder = bench.broker(), Recorder()
    await broker.consume(bench.queue(concurrency=1), recorder)

    for number in range(30):
        await broker.publish(bench.message(number))

    assert await recorder.next_ids(30) == [f"msg_{number}" for number in range(30)]


async def test_message_that_waits_for_its_retry_does_not_hold_up_others(bench: Bench) -> None:
    async def fail_first(message: Message) -> None:
        if message.id == "msg_1":
            raise ValueError("not this one")

    broker, recorder = bench.broker(), Recorder(fail_first)
    await broker.consume(bench.queue(retry_delays_s=(600,), concurrency=1), recorder)

    await broker.publish(bench.message(1))
    await broker.publish(bench.message(2))

    assert await recorder.next_ids(2) == ["msg_1", "msg_2"]


async def test_closing_lets_a_running_handler_finish(bench: Bench) -> None:
    queue, gate, broker = bench.queue(), Gate(), bench.broker()
    recorder, afterwards = Recorder(gate), Recorder()
    await broker.consume(queue, recorder)
    await broker.publish(bench.message(1))
    await recorder.next()

    closing = asyncio.create_task(broker.close())
    gate.opened.set()
    await closing

    assert gate.waiting == 0
    successor = bench.broker()
    await successor.consume(queue, afterwards)
    await successor.publish(bench.message(2))
    assert await afterwards.next_ids(1) == ["msg_2"]


async def test_message_of_a_killed_process_goes_to_another(bench: Bench) -> None:
    queue, recorder, broker = bench.queue(concurrency=1), Recorder(), bench.broker()
    async with stuck_consumer(bench, queue) as process:
        await eventually(lambda: bench.published(1))  # refused until the process has its queue
        assert process.stdout is not None
        assert await process.stdout.readline() == b"msg_1\n"

        await broker.consume(queue, recorder)
        await broker.publish(bench.message(2))
        assert await recorder.next_ids(1) == ["msg_2"]
        process.kill()

        assert await recorder.next_ids(1) == ["msg_1"]


@asynccontextmanager
async def stuck_consumer(bench: Bench, queue: Queue) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.kit.stuck_consumer",
        bench.amqp_url,
        bench.database_url,
        queue.service,
        queue.routing_key,
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
