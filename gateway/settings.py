"""The gateway's settings, read from the environment at start."""

from dataclasses import dataclass
from pathlib import Path

from kit.settings import Environment

_IMAGE = str(Path(__file__).parents[1] / "build" / "image.binpb")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the gateway listens, and its limits."""

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    call_timeout_s: int = 10
    max_body_bytes: int = 2**20
    # How many may watch something at once, through one process.
    max_watchers: int = 5000
    # Whose scripts may use the API from a browser; "*" is everyone's.
    cors_origins: tuple[str, ...] = ("*",)
    # The protos with their comments, for `/openapi.json` and `/docs`; both do without it.
    image: Path = Path(_IMAGE)

    @classmethod
    def load(cls, environment: Environment) -> "Settings":
        """Raises InvalidSetting."""
        origins = environment.text("CORS_ORIGINS", "*").split(",")
        return cls(
            host=environment.text("HTTP_HOST", "127.0.0.1"),
            port=environment.integer("HTTP_PORT", 8080, high=65535),
            workers=environment.integer("GATEWAY_WORKERS", 1, low=1, high=64),
            call_timeout_s=environment.integer("CALL_TIMEOUT_SECONDS", 10, low=1, high=60),
            max_body_bytes=environment.integer("MAX_BODY_BYTES", 2**20, low=1024, high=8 * 2**20),
            max_watchers=environment.integer("MAX_WATCHERS", 5000, low=1, high=100_000),
            cors_origins=tuple(origin.strip() for origin in origins if origin.strip()),
            image=environment.path("PROTO_IMAGE", _IMAGE),
        )
