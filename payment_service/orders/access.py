"""Who sees an order: the holder of its token, those who work for its organizer, and services."""

from kit.auth import Caller
from payment_service.orders.domain import Order, OrderNotFound


def seen_by(caller: Caller, order: Order | None) -> Order:
    """The order, or OrderNotFound if there is none, or it is somebody else's."""
    if order is None:
        raise OrderNotFound
    if caller.order_id != order.id and not caller.works_for(order.organizer_id):
        raise OrderNotFound
    return order
