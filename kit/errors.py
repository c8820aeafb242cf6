"""Errors as data: a class says its status, its name is its reason, its docstring is its message."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing wrong with the input: `items[0].quantity`, and what is wrong with it."""

    field: str
    description: str


class TesseraError(Exception):
    """Something went wrong that the caller can be told about."""

    code: ClassVar[str] = "UNKNOWN"  # the name of a gRPC status

    def __init__(
        self,
        message: str = "",
        *,
        metadata: Mapping[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
    ) -> None:
        self.message = message or _first_sentence(type(self))
        self.metadata = dict(metadata or {})
        self.violations = violations
        super().__init__(self.message)

    @property
    def reason(self) -> str:
        """`SOLD_OUT` for SoldOut: what programs decide by; never changes once published."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).upper()


class InvalidArgument(TesseraError):
    """The request is not valid."""

    code = "INVALID_ARGUMENT"

    @classmethod
    def of(cls, field: str, description: str = "") -> "InvalidArgument":
        """One field is wrong, and the description (default: the class's sentence) says how."""
        description = description or _first_sentence(cls)
        return cls(f"{field}: {description}", violations=(FieldViolation(field, description),))


class InvalidRequest(InvalidArgument):
    """The request breaks the contract's rules."""


class Unauthenticated(TesseraError):
    """Sign in first."""

    code = "UNAUTHENTICATED"


class PermissionDenied(TesseraError):
    """Your role does not allow this."""

    code = "PERMISSION_DENIED"


class NotFound(TesseraError):
    """There is no such thing."""

    code = "NOT_FOUND"


class AlreadyExists(TesseraError):
    """There is one already."""

    code = "ALREADY_EXISTS"


class FailedPrecondition(TesseraError):
    """The state of things does not allow this now."""

    code = "FAILED_PRECONDITION"


class Aborted(TesseraError):
    """Someone else was faster; look again and retry."""

    code = "ABORTED"


class ResourceExhausted(TesseraError):
    """Too many requests; slow down."""

    code = "RESOURCE_EXHAUSTED"


class Unavailable(TesseraError):
    """The service cannot answer right now; try again shortly."""

    code = "UNAVAILABLE"


class DeadlineExceeded(TesseraError):
    """The answer took too long."""

    code = "DEADLINE_EXCEEDED"


class Internal(TesseraError):
    """Something went wrong on our side; it has been logged."""

    code = "INTERNAL"


class VersionMismatch(Aborted):
    """The resource has changed since the version named in If-Match; read it again."""


def check_version(if_match: str, version: int) -> None:
    """Raise VersionMismatch unless an If-Match value (`"3"`, `*` or absent) admits the version."""
    if if_match not in ("", "*", f'"{version}"'):
        raise VersionMismatch


def _first_sentence(cls: type) -> str:
    return (cls.__doc__ or cls.__name__).strip().split("\n", 1)[0]
