"""What a PATCH changes: the fields that its mask names, and no other."""

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.ticket.v1 import event_service_pb2 as events
from tessera.ticket.v1 import quota_service_pb2 as quotas
from tessera.type.v1 import money_pb2

from kit import patch
from kit.patch import FieldNotChangeable, FieldNotNullable


def request(*paths: str, **fields: Any) -> events.UpdateTicketTypeRequest:
    return events.UpdateTicketTypeRequest(
        event_id="evt", ticket_type_id="tt", update_mask=FieldMask(paths=paths), **fields
    )


def test_a_field_that_the_mask_does_not_name_stays() -> None:
    assert patch.changes(request("name", name="A", total_stock=3)) == {"name": "A"}


def test_an_empty_mask_changes_nothing() -> None:
    assert patch.changes(request(name="A")) == {}


def test_zeroes_and_empty_values_are_values() -> None:
    assert patch.changes(request("total_stock", total_stock=0)) == {"total_stock": 0}


def test_messages_are_values_and_times_become_datetimes() -> None:
    price, start = money_pb2.Money(currency_code="EUR", amount="1.00"), Timestamp(seconds=60)
    found = patch.changes(request("price", "sales_start", price=price, sales_start=start))
    assert found == {"price": price, "sales_start": datetime(1970, 1, 1, 0, 1, tzinfo=UTC)}


def test_a_list_is_replaced_as_a_whole() -> None:
    mask = FieldMask(paths=["ticket_type_ids"])
    named = quotas.UpdateQuotaRequest(update_mask=mask, ticket_type_ids=["a", "b"])
    assert patch.changes(named) == {"ticket_type_ids": ["a", "b"]}
    assert patch.changes(quotas.UpdateQuotaRequest(update_mask=mask)) == {"ticket_type_ids": []}


def test_null_clears_a_field_that_may_be_null() -> None:
    nullable = ("sales_start", "sales_end")
    assert patch.changes(request("sales_end"), nullable=nullable) == {"sales_end": None}


def test_null_is_refused_for_any_other_field() -> None:
    with pytest.raises(FieldNotNullable) as refused:
        patch.changes(request("price"), nullable=("sales_end",))
    assert refused.value.violations[0].field == "price"


@pytest.mark.parametrize(
    "path", ["event_id", "ticket_type_id", "if_match", "update_mask", "version", "price.amount", ""]
)
def test_what_has_no_presence_cannot_be_changed(path: str) -> None:
    with pytest.raises(FieldNotChangeable):
        patch.changes(request(path))
