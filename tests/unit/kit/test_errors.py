"""Errors as data: the class is the status, its name the reason, its docstring the message."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from kit import errors
from kit.errors import (
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    TesseraError,
    VersionMismatch,
    check_version,
)
from kit.rpc_errors import to_status


class SoldOut(FailedPrecondition):
    """Fewer tickets remain than were asked for.

    This is for who reads the code.
    """


class TooManyHTTP2Streams(InvalidArgument):
    """There are too many."""


def test_the_reason_comes_from_the_name() -> None:
    assert SoldOut().reason == "SOLD_OUT"
    assert VersionMismatch().reason == "VERSION_MISMATCH"
    assert TooManyHTTP2Streams().reason == "TOO_MANY_HTTP2_STREAMS"


def test_the_message_is_the_first_sentence_unless_another_is_given() -> None:
    assert str(SoldOut()) == "Fewer tickets remain than were asked for."
    assert SoldOut("None is left.").message == "None is left."


def test_a_field_is_blamed_with_the_class_sentence_or_another() -> None:
    refused = TooManyHTTP2Streams.of("streams")
    assert isinstance(refused, TooManyHTTP2Streams)
    assert refused.violations == (FieldViolation("streams", "There are too many."),)
    assert TooManyHTTP2Streams.of("streams", "Three.").message == "streams: Three."


def test_every_status_is_one_that_grpc_knows() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, TesseraError)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        assert kind.code in grpc.StatusCode.__members__


@pytest.mark.parametrize("if_match", ["", "*", '"3"'])
def test_if_match_admits_the_version_it_names(if_match: str) -> None:
    check_version(if_match, 3)


@pytest.mark.parametrize("if_match", ['"2"', '"33"', "3", '"03"'])
def test_if_match_refuses_any_other_version(if_match: str) -> None:
    with pytest.raises(VersionMismatch):
        check_version(if_match, 3)


def test_the_status_on_the_wire_says_everything() -> None:
    error = TooManyHTTP2Streams.of("a.b")
    error.metadata["limit"] = "3"
    trailer = dict(to_status(error).trailing_metadata)["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(trailer)
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad_request)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert (info.reason, dict(info.metadata)) == ("TOO_MANY_HTTP2_STREAMS", {"limit": "3"})
    assert bad_request.field_violations[0].field == "a.b"
