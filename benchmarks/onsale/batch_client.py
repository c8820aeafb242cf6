"""The direct client: a process that calls BatchCreateHolds as the gateway does, over mTLS.

The calls are serialised once, beforehand: what it measures is the service.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from tessera.ticket.v1 import hold_service_pb2

from kit.auth import GATEWAY
from kit.rpc_client import OPTIONS
from kit.tls import Identity

_METHOD = "/tessera.ticket.v1.HoldService/BatchCreateHolds"
_TIMEOUT_S = 30


def main() -> None:
    """`python -m benchmarks.onsale.batch_client holds`, the plan on standard input.

    The report: `holds` and `duration_s`, `calls`, `refused` (how many for each reason or status),
    `p50_ms` and `p99_ms` of a call, and `cpu_s`.
    """
    plan = json.load(sys.stdin)
    used_before_s = time.process_time()
    report = asyncio.run(_hold(plan))
    json.dump({**report, "cpu_s": time.process_time() - used_before_s}, sys.stdout)


async def _hold(plan: dict[str, Any]) -> dict[str, Any]:
    identity = Identity.load(Path(plan["tls_dir"]), GATEWAY)
    async with grpc.aio.secure_channel(
        plan["address"],
        identity.channel_credentials(),
        options=[*OPTIONS, ("grpc.ssl_target_name_override", "ticket_service")],
    ) as channel:
        await channel.channel_ready()
        return await _call(channel, plan)


async def _call(channel: grpc.aio.Channel, plan: dict[str, Any]) -> dict[str, Any]:
    """Make calls until the time is over, or as many as the plan says."""
    rpc: grpc.aio.UnaryUnaryMultiCallable[bytes, hold_service_pb2.BatchCreateHoldsResponse] = (
        channel.unary_unary(
            _METHOD,
            response_deserializer=hold_service_pb2.BatchCreateHoldsResponse.FromString,
        )
    )
    request = _request(plan)
    left = plan["calls"] or sys.maxsize
    refused: Counter[str] = Counter()
    took_ms: list[float] = []
    holds, started = 0, time.perf_counter()
    end, last = started + plan["duration_s"], started

    async def call_until_the_end() -> None:
        nonlocal left, holds, last
        while left and (sent_at := time.perf_counter()) < end:
            left -= 1
            try:
                answer = await rpc(request, timeout=_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                refused[error.code().name] += plan["size"]
                continue
            last = time.perf_counter()
            took_ms.append((last - sent_at) * 1000)
            for result in answer.results:
                if result.HasField("hold"):
                    holds += 1
                else:
                    refused[result.error.message] += 1

    await asyncio.gather(*(call_until_the_end() for _ in range(plan["in_flight"])))
    took_ms.sort()
    return {
        "holds": holds,
        "duration_s": last - started,
        "calls": len(took_ms),
        "refused": refused,
        "p50_ms": took_ms[len(took_ms) // 2] if took_ms else None,
        "p99_ms": took_ms[len(took_ms) * 99 // 100] if took_ms else None,
    }


def _request(plan: dict[str, Any]) -> bytes:
    item = hold_service_pb2.CreateHoldItem(ticket_type_id=plan["ticket_type_id"], quantity=1)
    one = hold_service_pb2.CreateHoldRequest(event_id=plan["event_id"], items=[item])
    batch = hold_service_pb2.BatchCreateHoldsRequest(requests=[one] * plan["size"])
    return batch.SerializeToString()


if __name__ == "__main__":
    main()
