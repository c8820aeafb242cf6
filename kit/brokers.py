"""Chooses the broker: RabbitMQ when there is an address for it, else the embedded one."""

from kit.broker import Broker
from kit.database import service_url


def connect(amqp_url: str, database_url: str) -> Broker:
    """The broker for these settings; an empty `amqp_url` means the embedded one.

    Nothing is connected before it is used.

    Raises:
        InvalidSetting: the address cannot be used.
    """
    if amqp_url:
        from kit.amqp import AmqpBroker  # memory that the embedded mesh can do without

        return AmqpBroker(amqp_url)
    from kit.embedded_broker import EmbeddedBroker

    return EmbeddedBroker(service_url(database_url, "broker"))
