"""Buys what is held, as payment_service does when an order is paid."""

import asyncio
import time
from collections.abc import Sequence

from tessera.ticket.v1 import ticket_service_pb2, ticket_service_pb2_grpc

from benchmarks.mesh import BenchmarkFailed, Mesh
from kit.errors import TesseraError
from kit.ids import new_id
from kit.rpc_client import Mesh as Channels
from kit.settings import PREFIX, Environment
from kit.tls import Identity

BUYER = "payment_service"
_AT_ONCE = 32


async def buy(mesh: Mesh, hold_ids: Sequence[str]) -> float:
    """Have tickets issued for these holds; answers how long that took, in seconds.

    Raises:
        BenchmarkFailed: one of them cannot be bought.
    """
    settings = mesh.settings("ticket_service")
    environment = Environment({PREFIX + name: value for name, value in settings.items()})
    channels = Channels(environment, Identity.load(environment.path("TLS_DIR"), BUYER))
    channel = channels.channel("ticket_service")
    tickets = ticket_service_pb2_grpc.TicketServiceStub(channel)
    waiting = iter(hold_ids)

    async def buy_the_next() -> None:
        for hold_id in waiting:
            request = ticket_service_pb2.IssueTicketsRequest(
                hold_id=hold_id, order_id=new_id("ord"), holder_name="Grace Guest"
            )
            await tickets.IssueTickets(request)

    started = time.perf_counter()
    try:
        await channel.channel_ready()
        await asyncio.gather(*(buy_the_next() for _ in range(_AT_ONCE)))
    except TesseraError as error:
        raise BenchmarkFailed(f"A hold cannot be bought: {error.message}") from error
    finally:
        await channels.close()
    return time.perf_counter() - started
