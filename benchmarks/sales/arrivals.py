"""The mails that the sink has taken."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Arrival:
    """A mail that was taken, in seconds since 1970."""

    at_s: float
    recipient: str
    has_pdf: bool


class Arrivals:
    """Reads the sink's file as it grows: `<at_s> <recipient> <0 or 1>`, a line for each mail."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0  # bytes
        self._all: list[Arrival] = []

    def to(self, prefix: str) -> list[Arrival]:
        """The mails so far to addresses that begin so, the first ones first."""
        self._read_on()
        return [arrival for arrival in self._all if arrival.recipient.startswith(prefix)]

    def _read_on(self) -> None:
        """Read the whole lines that are new."""
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            lines = file.read().rpartition(b"\n")[0].splitlines(keepends=True)
        self._read += sum(map(len, lines)) + bool(lines)
        for line in lines:
            at_s, recipient, has_pdf = line.decode().split()
            self._all.append(Arrival(float(at_s), recipient, has_pdf == "1"))
