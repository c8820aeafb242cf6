"""Reading settings from the environment, with errors that say what to do."""

import os
from collections.abc import Mapping
from pathlib import Path

PREFIX = "TESSERA_"


class InvalidSetting(Exception):
    """A setting cannot be used; the message says which and why."""


class Environment:
    """The `TESSERA_*` variables. Names are given without the prefix."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables

    def text(self, name: str, default: str | None = None) -> str:
        """The value, or the default when it is absent or empty."""
        value = self._variables.get(PREFIX + name, "").strip()
        if value:
            return value
        if default is None:
            raise InvalidSetting(f"{PREFIX}{name} is not set.")
        return default

    def integer(self, name: str, default: int, *, low: int = 0, high: int = 2**31 - 1) -> int:
        """The value as an integer between `low` and `high`."""
        value = self.text(name, str(default))
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            raise InvalidSetting(
                f"{PREFIX}{name} is {value!r}: it takes a whole number from {low} to {high}."
            )
        return int(value)

    def path(self, name: str, default: str | None = None) -> Path:
        """The value as a path."""
        return Path(self.text(name, default)).expanduser()

    def secret(self, name: str) -> bytes:
        """A secret of at least 32 characters: `openssl rand -hex 32` makes one."""
        value = self.text(name)
        if len(value) < 32:
            raise InvalidSetting(f"{PREFIX}{name} is too short: it takes at least 32 characters.")
        return value.encode()
