"""The load generator: a process that reads a plan (JSON) and prints a report (see `load`)."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.http_client import Connection, encode

_PAUSE_S = 0.05  # after something went wrong


def main() -> None:
    """`python -m benchmarks.generator requests`, the plan on standard input."""
    kinds = {"requests": _requests}
    plan = json.load(sys.stdin)
    used_before_s = time.process_time()
    report = asyncio.run(kinds[sys.argv[1]](plan))
    json.dump({**report, "cpu_s": time.process_time() - used_before_s}, sys.stdout)


async def _requests(plan: dict[str, Any]) -> dict[str, Any]:
    request = encode(plan["method"], plan["path"], plan["body"].encode())
    statuses: Counter[str] = Counter()
    took_ms: list[float] = []
    started = time.perf_counter()
    end = started + plan["duration_s"]

    async def send_until_the_end() -> int:
        lost, connection = 0, await Connection.open(plan["url"])
        while (sent_at := time.perf_counter()) < end:
            try:
                answer = await connection.send(request)
            except OSError:
                lost += 1
                await asyncio.sleep(_PAUSE_S)
                connection = await Connection.open(plan["url"])
                continue
            answered_at = time.perf_counter()
            if answered_at <= end:
                statuses[str(answer.status)] += 1
                took_ms.append((answered_at - sent_at) * 1000)
        connection.close()
        return lost

    lost = await asyncio.gather(*(send_until_the_end() for _ in range(plan["connections"])))
    return {
        "answers": len(took_ms),
        "duration_s": plan["duration_s"],
        "statuses": statuses,
        "lost": sum(lost),
        **_percentiles(took_ms),
    }


def _percentiles(took_ms: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(took_ms)
    if not ordered:
        return {"p50_ms": None, "p99_ms": None}
    return {
        f"p{percent}_ms": ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
        for percent in (50, 99)
    }


if __name__ == "__main__":
    main()
