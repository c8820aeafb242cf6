"""What carries messages between services: the seam that RabbitMQ and the embedded broker fill."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kit.errors import Unavailable

EXCHANGE = "tessera"


class BrokerUnavailable(Unavailable):
    """The message broker did not confirm the message; it is kept and sent again."""


class Unroutable(BrokerUnavailable):
    """No queue takes this message yet; it is kept and sent again."""


class Unprocessable(Exception):
    """A handler raises this for a message that no retry can help; it goes to the dead letters."""


@dataclass(frozen=True, slots=True)
class Message:
    """One announcement. The id is the outbox's, the type the proto's full name."""

    id: str
    routing_key: str
    type: str
    body: bytes  # proto-JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Queue:
    """A service's durable queue for one routing key: `notification_service.payment.succeeded`.

    A message whose handler fails comes back after each of the delays in turn; after the last it
    rests in `<name>.dead`. Handlers start in the order in which the messages came; with a
    concurrency of 1 they also finish in it, failures apart.
    """

    service: str
    routing_key: str
    retry_delays_s: tuple[float, ...] = (1, 5, 30, 120, 600)
    concurrency: int = 10  # how many of its messages one process handles at a time
    handler_timeout_s: float = 120

    @property
    def name(self) -> str:
        return f"{self.service}.{self.routing_key}"

    @property
    def dead_name(self) -> str:
        return f"{self.name}.dead"


Handler = Callable[[Message], Awaitable[None]]


class Broker(Protocol):
    """Delivers each message at least once to every queue bound to its routing key."""

    async def publish(self, message: Message) -> None:
        """Hand over a message; returns when the broker has it safe.

        Raises:
            BrokerUnavailable: it did not confirm in time, or no queue takes the routing key.
        """

    async def consume(self, queue: Queue, handler: Handler) -> None:
        """Declare a queue and have each of its messages handled.

        Returns once the queue takes messages, or at the first sign that the broker is away: then
        the queue is declared as soon as it is back. A message is acknowledged when the handler
        returns. Survives lost connections.

        Raises:
            InvalidSetting: the broker's address or credentials cannot be right.
        """

    async def dead_letters(self, queue: Queue) -> int:
        """How many messages rest in the queue's dead letters.

        Raises:
            BrokerUnavailable: it did not answer in time.
        """

    async def close(self) -> None:
        """Stop consuming, let running handlers finish, disconnect."""
