"""The server enforces the rules of the protos, and what PostgreSQL cannot store."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.payment.v1 import order_lookup_service_pb2, voucher_service_pb2
from tessera.ticket.v1 import event_service_pb2, hold_service_pb2
from tessera.type.v1 import money_pb2

from kit import clock
from kit.errors import InvalidRequest
from kit.validation import validate


def test_every_violated_rule_names_its_field() -> None:
    item = hold_service_pb2.CreateHoldItem(quantity=101)
    with pytest.raises(InvalidRequest) as refused:
        validate(hold_service_pb2.CreateHoldRequest(items=[item]))
    fields = {violation.field for violation in refused.value.violations}
    assert fields == {"event_id", "items[0].ticket_type_id", "items[0].quantity"}


def test_the_character_u0000_is_refused_wherever_it_is() -> None:
    fine = hold_service_pb2.CreateHoldItem(ticket_type_id="tt", quantity=1)
    bad = hold_service_pb2.CreateHoldItem(ticket_type_id="t\0t", quantity=1)
    with pytest.raises(InvalidRequest) as refused:
        validate(hold_service_pb2.CreateHoldRequest(event_id="evt\0", items=[fine, bad]))
    fields = [violation.field for violation in refused.value.violations]
    assert fields == ["event_id", "items[1].ticket_type_id"]


def test_zero_bytes_that_are_no_text_are_fine() -> None:
    request = event_service_pb2.CreateTicketTypeRequest(
        event_id="evt",
        name="n",
        price=money_pb2.Money(currency_code="EUR", amount="1.00"),
        total_stock=0,
        sales_start=Timestamp(seconds=0),
        max_per_order=1,
    )
    validate(request)


@pytest.mark.parametrize("seconds", [10**15, -(10**15)])
def test_a_time_beyond_the_calendar_is_refused(seconds: int) -> None:
    with pytest.raises(clock.InvalidTime):
        clock.from_timestamp(Timestamp(seconds=seconds))


def test_what_is_not_written_as_it_must_be_is_told_how() -> None:
    for request, words in (
        (voucher_service_pb2.CreateVoucherRequest(code="a b"), "4 to 64 letters"),
        (voucher_service_pb2.CreateVoucherRequest(percentage="1,5"), 'such as "8.875"'),
        (
            order_lookup_service_pb2.RedeemOrderLookupRequest(lookup_id="lookup_1", code="12345"),
            "six digits",
        ),
    ):
        with pytest.raises(InvalidRequest, match=words):
            validate(request)
