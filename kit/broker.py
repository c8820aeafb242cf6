"""What carries messages between services: the seam that RabbitMQ and the embedded broker fill."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kit.errors import Unavailable

EXCHANGE = "tessera"


class BrokerUnavailable(Unavailable):
    """The message broker did not confirm the message; it is kept and sent again."""


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
    rests in `<name>.dead`.
    """

    service: str
    routing_key: str
    retry_delays_s: tuple[float, ...] = (1, 5, 30, 120, 600)

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

        A message is acknowledged when the handler returns. Survives lost connections.
        """

    async def dead_letters(self, queue: Queue) -> int:
        """How many messages rest in the queue's dead letters."""

    async def close(self) -> None:
        """Stop consuming, let running handlers finish, disconnect."""
