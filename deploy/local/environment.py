"""The settings of a mesh on one machine: what is given, and defaults for the rest."""

import fcntl
import json
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local import postgres_folder
from deploy.local.certificates import ensure_certificates
from kit.service import ROOT
from kit.settings import PREFIX, Environment, InvalidSetting

SERVICES = ("user_service", "ticket_service", "payment_service", "notification_service")
LOCAL = "127.0.0.1"
_PORT_ATTEMPTS = 1000


def given() -> dict[str, str]:
    """What is set: `.env` in the project's folder, and over it the environment.

    `TESSERA_ENV_FILE` names another file; an empty variable takes back what the file says.

    Raises:
        InvalidSetting: a name is misspelt.
    """
    variables = _dotenv(Environment().path("ENV_FILE", str(ROOT / ".env")))
    variables.update({k: v for k, v in os.environ.items() if k.startswith(PREFIX)})
    known = set(re.findall(rf"\b{PREFIX}[A-Z_]+", (ROOT / ".env.example").read_text()))
    if unknown := sorted(set(variables) - known):
        raise InvalidSetting(f"{unknown[0]} is not a setting; .env.example lists all.")
    return {name: value for name, value in variables.items() if value}


def complete(variables: Mapping[str, str]) -> dict[str, str]:
    """The given settings, with addresses, secrets and certificates for a mesh on this machine.

    Raises:
        InvalidSetting: a port is in use, or the data folder cannot be written.
    """
    environment = Environment(variables)
    data_dir = environment.path("DATA_DIR", "var").resolve()
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        kept = _secrets(data_dir / "secrets.json")
        ensure_certificates(data_dir / "tls", ("gateway", *SERVICES))
    except OSError as error:
        raise InvalidSetting(
            f"The data folder {data_dir} cannot be used: {error.strerror}. "
            "Put that right, or set TESSERA_DATA_DIR to another folder."
        ) from error
    except ValueError as error:
        raise InvalidSetting(
            f"{data_dir / 'secrets.json'} is damaged. Put back what was in it: "
            "without the secret, order tokens and signing keys are worthless."
        ) from error
    http_port = environment.integer("HTTP_PORT", 8080, low=1, high=65_535)
    defaults = {
        "HTTP_HOST": LOCAL,
        "HTTP_PORT": str(http_port),
        "STRIPE_SANDBOX_PORT": str(http_port + 1 if http_port < 65_535 else http_port - 1),
        "TLS_DIR": str(data_dir / "tls"),
        "SECRET_KEY": kept["secret_key"],
        "SUPERADMIN_EMAIL": "admin@tessera.example",
        "SUPERADMIN_PASSWORD": kept["superadmin_password"],
        "MAIL_FROM": "Tessera <tickets@tessera.example>",
        **{f"{name.upper()}_ADDRESS": f"{LOCAL}:{free_port()}" for name in SERVICES},
    }
    complete = {PREFIX + name: value for name, value in defaults.items()}
    complete.update(variables)
    complete[f"{PREFIX}DATA_DIR"] = str(data_dir)
    return complete


@contextmanager
def claim(data_dir: Path) -> Iterator[None]:
    """Keep the data folder to this process, however it ends.

    Raises:
        InvalidSetting: another Tessera uses it.
    """
    try:
        lock = postgres_folder.lock(data_dir)
    except postgres_folder.PostgresFailed as error:
        raise InvalidSetting(str(error)) from error
    with lock:
        yield


def check_port(setting: str, host: str, port: int) -> None:
    """Raise InvalidSetting when something else listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror as error:
            raise InvalidSetting(f"{PREFIX}HTTP_HOST is {host!r}: {error.strerror}.") from error
        except OSError as error:
            raise InvalidSetting(
                f"Port {port} cannot be used ({error.strerror}): "
                f"stop what uses it, or set {PREFIX}{setting} to another port."
            ) from error


def free_port() -> int:
    """A loopback port that nobody uses, and no other process of ours is given while this one lives.

    The kernel hands out those from 32768 (Linux) or 49152 up, as the near end of any connection.
    """
    folder = Path(tempfile.gettempdir()) / f"tessera-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for _ in range(_PORT_ATTEMPTS):
        port = 20_000 + secrets.randbelow(12_000)
        claim = os.open(folder / str(port), os.O_CREAT | os.O_WRONLY)
        with socket.socket() as probe, suppress(OSError):
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            probe.bind((LOCAL, port))
            return port  # claimed until this process ends, and its files are closed
        os.close(claim)
    raise InvalidSetting("There is no free port between 20000 and 32000 on this machine.")


def _secrets(path: Path) -> dict[str, str]:
    """Secrets that are made once and kept: without them tokens and keys are worthless."""
    if path.exists():
        kept: dict[str, str] = json.loads(path.read_text())
        return kept
    made = {
        "secret_key": secrets.token_hex(32),
        "superadmin_password": secrets.token_urlsafe(12),
    }
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(made))
    temporary.rename(path)
    return made


def _dotenv(path: Path) -> dict[str, str]:
    """`NAME=value` lines; the value is taken as it is, without quotes around it."""
    if not path.exists():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    found = {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
    return {name: value for name, value in found.items() if name.startswith(PREFIX) and value}
