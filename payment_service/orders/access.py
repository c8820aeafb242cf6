"""Who sees an order: the holder of its token, those who work for its organizer, and services."""

from collections.abc import Sequence

from tessera.ticket.v1 import ticket_pb2

from kit.auth import Caller
from payment_service.orders.domain import NoTicketsLeft, Order, OrderNotFound


def seen_by(caller: Caller, order: Order | None) -> Order:
    """The order, or OrderNotFound if there is none, or it is somebody else's."""
    if order is None:
        raise OrderNotFound
    if caller.order_id != order.id and not caller.works_for(order.organizer_id):
        raise OrderNotFound
    return order


def ticket_seen_by(caller: Caller, ticket: ticket_pb2.Ticket) -> ticket_pb2.Ticket:
    """A ticket as the caller may see it: who gave it to somebody else cannot enter with it."""
    if not (caller.order_id and ticket.holder_email):
        return ticket
    seen = ticket_pb2.Ticket()
    seen.CopyFrom(ticket)
    seen.ClearField("code")
    return seen


def to_print(caller: Caller, tickets: Sequence[ticket_pb2.Ticket]) -> list[ticket_pb2.Ticket]:
    """The tickets that the caller can enter with, or NoTicketsLeft."""
    seen = [ticket_seen_by(caller, ticket) for ticket in tickets]
    valid = [each for each in seen if each.code and each.state == ticket_pb2.TICKET_STATE_ISSUED]
    if not valid:
        raise NoTicketsLeft
    return valid
