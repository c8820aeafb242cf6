"""`/healthz`, whether the gateway is alive, and `/readyz`, whether everything behind it is."""

import asyncio
from collections.abc import Iterable

import grpc.aio
from grpc_health.v1 import health_pb2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.mesh import Mesh
from kit.errors import TesseraError, Unavailable

_CHECK_TIMEOUT_S = 1.0


class NotReady(Unavailable):
    """Some services do not answer their health check."""


async def healthz(_request: Request) -> Response:
    """Alive."""
    return JSONResponse({"status": "ok"})


class Readiness:
    """Asks every service behind the routes; those who ask at the same time share the answers."""

    def __init__(self, mesh: Mesh, services: Iterable[str]) -> None:
        self._mesh = mesh
        self._services = sorted(set(services))
        self._check: asyncio.Task[list[bool]] | None = None

    async def readyz(self, _request: Request) -> Response:
        """Ready. Raises NotReady, which names the services that are not."""
        if self._check is None or self._check.done():
            self._check = asyncio.create_task(self._ask_all())
        answers = await asyncio.shield(self._check)
        silent = [s for s, serving in zip(self._services, answers, strict=True) if not serving]
        if silent:
            names = ", ".join(silent)
            raise NotReady(f"Not ready: {names}.", metadata={"services": names})
        return JSONResponse({"status": "ok", "services": self._services})

    async def _ask_all(self) -> list[bool]:
        return await asyncio.gather(*map(self._is_serving, self._services))

    async def _is_serving(self, service: str) -> bool:
        check = self._mesh.channel(service).unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=_CHECK_TIMEOUT_S)
        except (TesseraError, grpc.aio.AioRpcError):
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
