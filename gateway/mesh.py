"""What the gateway needs to know of the mesh."""

from typing import Protocol

import grpc.aio


class Mesh(Protocol):
    """Where the services are. Channels pass the trace on, and raise `TesseraError`s."""

    def channel(self, service: str) -> grpc.aio.Channel:
        """The channel to a service, by its name: `ticket_service`."""
