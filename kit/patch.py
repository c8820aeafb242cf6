"""What a PATCH changes: the fields that its `update_mask` names."""

from collections.abc import Collection
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from kit import clock
from kit.errors import InvalidArgument


class FieldNotChangeable(InvalidArgument):
    """This field cannot be changed."""


class FieldNotNullable(InvalidArgument):
    """This field cannot be null."""


def changes(request: Message, *, nullable: Collection[str] = ()) -> dict[str, Any]:
    """The masked fields and their new values; times as datetimes, None for a `nullable` that is.

    The contract marks what can change by presence: `optional`, or a message. A list has none: the
    mask alone tells of it, and it is replaced as a whole.
    """
    found: dict[str, Any] = {}
    for path in request.update_mask.paths:  # type: ignore[attr-defined]  # every PATCH has one
        field = request.DESCRIPTOR.fields_by_name.get(path)
        if field is not None and field.is_repeated:
            found[path] = list(getattr(request, path))
            continue
        if field is None or not field.has_presence or path == "update_mask":
            raise FieldNotChangeable.of(path)
        if request.HasField(path):
            value = getattr(request, path)
            found[path] = clock.from_timestamp(value) if isinstance(value, Timestamp) else value
        elif path in nullable:
            found[path] = None
        else:
            raise FieldNotNullable.of(path)
    return found
