"""Errors on the wire: google.rpc.Status with ErrorInfo and BadRequest details, both ways."""

from typing import ClassVar

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from kit.errors import FieldViolation, TesseraError

DOMAIN = "tessera"
_DETAILS = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class RemoteError(TesseraError):
    """Another service refused."""

    def __init__(self, code: str, reason: str, message: str, **rest: object) -> None:
        super().__init__(message or code, **rest)  # type: ignore[arg-type]  # as TesseraError's
        self.code = code  # type: ignore[misc]  # each remote error has its own
        self._reason = reason

    code: ClassVar[str]

    @property
    def reason(self) -> str:
        return self._reason


def to_status(error: TesseraError) -> grpc.Status:
    """The status that says everything about an error, for the end of a call."""
    return rpc_status.to_status(to_proto(error))


def to_proto(error: TesseraError) -> status_pb2.Status:
    """The status that says everything about an error."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    details = [_pack(info)]
    if error.violations:
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad_request.field_violations.add(
                field=violation.field, description=violation.description
            )
        details.append(_pack(bad_request))
    code = grpc.StatusCode[error.code].value[0]
    return status_pb2.Status(code=code, message=error.message, details=details)


def from_rpc_error(error: grpc.aio.AioRpcError) -> RemoteError:
    """What a call's failure says: the service's own error, or that it could not be reached."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS:
            packed = value if isinstance(value, bytes) else value.encode()
            return from_proto(status_pb2.Status.FromString(packed))
    name, message = error.code().name, error.details() or ""
    if name == "UNAVAILABLE":
        message = "The service cannot be reached right now; try again shortly."
    elif name == "DEADLINE_EXCEEDED":
        message = "The answer took too long; try again."
    return RemoteError(name, name, message)


def from_proto(status: status_pb2.Status) -> RemoteError:
    """The error that a status tells of."""
    metadata: dict[str, str] = {}
    violations: tuple[FieldViolation, ...] = ()
    name = reason = _CODES[status.code].name
    for detail in status.details:
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad_request):
            violations = tuple(
                FieldViolation(v.field, v.description) for v in bad_request.field_violations
            )
    return RemoteError(name, reason, status.message, metadata=metadata, violations=violations)


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
