"""Time. Deadlines that replicas must agree on are compared in SQL, by the database's clock."""

from datetime import UTC, datetime
from functools import lru_cache

from google.protobuf.timestamp_pb2 import Timestamp

from kit.errors import InvalidArgument


class InvalidTime(InvalidArgument):
    """A time must lie between the years 1 and 9999."""


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


@lru_cache(maxsize=1024)  # the holds of a batch share theirs
def timestamp(moment: datetime) -> Timestamp:
    """A moment as protobuf has it: to be put into messages, which copy it."""
    found = Timestamp()
    found.FromDatetime(moment)
    return found


def to_timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment as protobuf has it; None stays None, and leaves the field absent."""
    return None if moment is None else timestamp(moment)


def from_timestamp(proto: Timestamp) -> datetime:
    """A protobuf timestamp as an aware datetime, to the microsecond.

    Raises:
        InvalidTime: the timestamp is out of range, which JSON's cannot be.
    """
    try:
        return proto.ToDatetime(UTC)
    except ValueError:
        raise InvalidTime from None
