"""A service's place in the mesh: its certificate and key, and the authority that signed all."""

from dataclasses import dataclass
from pathlib import Path

import grpc

from kit.settings import InvalidSetting


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM bytes. The certificate's common name is the service's name."""

    service: str
    authority: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def load(cls, directory: Path, service: str) -> "Identity":
        """Read `ca.pem`, `<service>.pem` and `<service>-key.pem`."""
        try:
            return cls(
                service,
                authority=(directory / "ca.pem").read_bytes(),
                certificate=(directory / f"{service}.pem").read_bytes(),
                key=(directory / f"{service}-key.pem").read_bytes(),
            )
        except OSError as error:
            raise InvalidSetting(
                f"The certificate of {service} cannot be read ({error.filename}: {error.strerror});"
                " set TESSERA_TLS_DIR to the folder that holds it."
            ) from error

    def server_credentials(self) -> grpc.ServerCredentials:
        """For a server that only talks to the mesh."""
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], self.authority, require_client_auth=True
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a client of the mesh."""
        return grpc.ssl_channel_credentials(self.authority, self.key, self.certificate)
