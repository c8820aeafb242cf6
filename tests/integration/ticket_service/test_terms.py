"""On what terms an event's tickets are ordered: booking fee, cancellation policy and taxes."""

from typing import Any

import pytest
from tessera.ticket.v1 import event_pb2, event_service_pb2, hold_service_pb2, ticket_type_pb2

from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    days_ahead,
    event,
    money,
    new_key,
    patch,
    refused,
)

FEE = event_pb2.BookingFee(per_ticket=money("1.50"), percentage="2.5", tax_rate="19")
POLICY = event_pb2.CancellationPolicy(until=days_ahead(29), fee=money("5.00"), fee_percentage="10")


async def update(
    shop: Shop, by: Organizer, event_id: str, *, null: tuple[str, ...] = (), **fields: Any
) -> event_pb2.Event:
    request = patch(event_service_pb2.UpdateEventRequest, null=null, event_id=event_id, **fields)
    changed: event_pb2.Event = await shop.public.events.UpdateEvent(request, metadata=by.admin)
    return changed


async def update_type(
    shop: Shop, by: Organizer, of: ticket_type_pb2.TicketType, **fields: Any
) -> ticket_type_pb2.TicketType:
    request = patch(
        event_service_pb2.UpdateTicketTypeRequest,
        event_id=of.event_id,
        ticket_type_id=of.id,
        **fields,
    )
    return await shop.public.events.UpdateTicketType(request, metadata=by.admin)


async def test_an_event_has_no_terms_unless_some_are_set(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    assert not published.HasField("booking_fee")
    assert not published.HasField("cancellation_policy")
    [made] = published.ticket_types
    assert (made.tax_rate, made.tax_included, made.is_hidden) == ("0", True, False)


async def test_anyone_sees_the_terms_that_an_event_was_made_with(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, booking_fee=FEE, cancellation_policy=POLICY)
    assert (published.booking_fee, published.cancellation_policy) == (FEE, POLICY)
    assert await shop.see(published.id) == published


async def test_the_parts_of_terms_that_are_left_out_are_nothing(
    shop: Shop, organizer: Organizer
) -> None:
    made = await shop.draft(
        organizer,
        booking_fee=event_pb2.BookingFee(percentage="8.875"),
        cancellation_policy=event_pb2.CancellationPolicy(until=days_ahead(1)),
    )
    assert made.booking_fee == event_pb2.BookingFee(
        per_ticket=money("0.00"), percentage="8.875", tax_rate="0"
    )
    assert made.cancellation_policy == event_pb2.CancellationPolicy(
        until=days_ahead(1), fee=money("0.00"), fee_percentage="0"
    )


async def test_a_fee_of_nothing_is_no_fee(shop: Shop, organizer: Organizer) -> None:
    nothing = event_pb2.BookingFee(per_ticket=money("0.00"), percentage="0", tax_rate="19")
    for fee in (event_pb2.BookingFee(), nothing):
        assert not (await shop.draft(organizer, booking_fee=fee)).HasField("booking_fee")


async def test_terms_are_replaced_as_a_whole_and_cleared_by_null(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer, booking_fee=FEE, cancellation_policy=POLICY)
    other = event_pb2.BookingFee(percentage="3")
    changed = await update(shop, organizer, draft.id, booking_fee=other, if_match='"1"')
    assert changed.booking_fee == event_pb2.BookingFee(
        per_ticket=money("0.00"), percentage="3", tax_rate="0"
    )
    assert (changed.cancellation_policy, changed.version) == (POLICY, 2)
    with refused("VERSION_MISMATCH"):
        await update(shop, organizer, draft.id, booking_fee=FEE, if_match='"1"')
    renamed = await update(shop, organizer, draft.id, title="Other")
    assert renamed.booking_fee == changed.booking_fee
    cleared = await update(
        shop, organizer, draft.id, null=("booking_fee", "cancellation_policy"), if_match='"3"'
    )
    assert not cleared.HasField("booking_fee")
    assert not cleared.HasField("cancellation_policy")


@pytest.mark.parametrize(
    ("terms", "reason", "field"),
    [
        (
            {"booking_fee": event_pb2.BookingFee(per_ticket=money("1.00", "USD"))},
            "CURRENCY_MISMATCH",
            "booking_fee.per_ticket.currency_code",
        ),
        (
            {"booking_fee": event_pb2.BookingFee(per_ticket=money("1"))},
            "INVALID_AMOUNT",
            "booking_fee.per_ticket.amount",
        ),
        (
            {"booking_fee": event_pb2.BookingFee(per_ticket=money("-1.00"))},
            "INVALID_REQUEST",
            "booking_fee.per_ticket.amount",
        ),
        (
            {"booking_fee": event_pb2.BookingFee(per_ticket=money("1.00", "XYZ"))},
            "UNKNOWN_CURRENCY",
            "booking_fee.per_ticket.currency_code",
        ),
        (
            {"booking_fee": event_pb2.BookingFee(percentage="100")},
            "INVALID_REQUEST",
            "booking_fee.percentage",
        ),
        (
            {"booking_fee": event_pb2.BookingFee(percentage="1", tax_rate="19 %")},
            "INVALID_REQUEST",
            "booking_fee.tax_rate",
        ),
        (
            {"cancellation_policy": event_pb2.CancellationPolicy(fee=money("1.00"))},
            "INVALID_REQUEST",
            "cancellation_policy.until",
        ),
        (
            {
                "cancellation_policy": event_pb2.CancellationPolicy(
                    until=days_ahead(1), fee=money("1.00", "USD")
                )
            },
            "CURRENCY_MISMATCH",
            "cancellation_policy.fee.currency_code",
        ),
        (
            {
                "cancellation_policy": event_pb2.CancellationPolicy(
                    until=days_ahead(1), fee=money("1.0")
                )
            },
            "INVALID_AMOUNT",
            "cancellation_policy.fee.amount",
        ),
        (
            {
                "cancellation_policy": event_pb2.CancellationPolicy(
                    until=days_ahead(1), fee_percentage="100.5"
                )
            },
            "INVALID_PERCENTAGE",
            "cancellation_policy.fee_percentage",
        ),
    ],
)
async def test_terms_that_are_none_are_refused_when_made_and_when_changed(
    shop: Shop, organizer: Organizer, terms: dict[str, Any], reason: str, field: str
) -> None:
    with refused(reason, field=field):
        await shop.draft(organizer, **terms)
    draft = await shop.draft(organizer, booking_fee=FEE, cancellation_policy=POLICY)
    with refused(reason, field=field):
        await update(shop, organizer, draft.id, **terms)
    request = event_service_pb2.GetEventRequest(event_id=draft.id)
    assert await shop.public.events.GetEvent(request, metadata=organizer.admin) == draft


async def test_fees_in_the_old_currency_do_not_become_amounts_of_the_new_one(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer, booking_fee=FEE)
    with refused("CURRENCY_MISMATCH", field="booking_fee.per_ticket.currency_code"):
        await update(shop, organizer, draft.id, currency_code="JPY")
    fee = event_pb2.BookingFee(per_ticket=money("150", "JPY"), percentage="0", tax_rate="0")
    changed = await update(shop, organizer, draft.id, currency_code="JPY", booking_fee=fee)
    assert (changed.currency_code, changed.booking_fee) == ("JPY", fee)


async def test_the_same_key_with_other_terms_is_another_request(
    shop: Shop, organizer: Organizer
) -> None:
    request = event(booking_fee=FEE, idempotency_key=new_key())
    made = await shop.public.events.CreateEvent(request, metadata=organizer.admin)
    assert await shop.public.events.CreateEvent(request, metadata=organizer.admin) == made
    request.booking_fee.tax_rate = "20"
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.public.events.CreateEvent(request, metadata=organizer.admin)


async def test_a_ticket_type_has_a_tax_that_its_price_includes_or_not(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer)
    made = await shop.add_type(organizer, draft.id, tax_rate="8.8750", tax_included=False)
    assert (made.tax_rate, made.tax_included) == ("8.875", False)
    changed = await update_type(shop, organizer, made, tax_rate="19")
    assert (changed.tax_rate, changed.tax_included, changed.version) == ("19", False, 2)
    changed = await update_type(shop, organizer, made, tax_included=True, if_match='"2"')
    assert (changed.tax_rate, changed.tax_included) == ("19", True)
    assert (await update_type(shop, organizer, made, name="x")).tax_rate == "19"


@pytest.mark.parametrize("rate", ["100", "-1", "19%", "1.00001", "1,5"])
async def test_a_tax_that_is_none_is_refused(shop: Shop, organizer: Organizer, rate: str) -> None:
    published = await shop.on_sale(organizer)
    with refused("INVALID_REQUEST", field="tax_rate"):
        await shop.add_type(organizer, published.id, tax_rate=rate)
    with refused("INVALID_REQUEST", field="tax_rate"):
        await update_type(shop, organizer, published.ticket_types[0], tax_rate=rate)


async def test_payment_service_sees_the_terms_of_what_is_held_alone(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(
        organizer,
        {"name": "A", "tax_rate": "7"},
        {"name": "B"},
        {"name": "C", "tax_rate": "19", "tax_included": False},
        booking_fee=FEE,
        cancellation_policy=POLICY,
    )
    await shop.add_quota(organizer, 5, published.ticket_types[0])
    held = await shop.hold(published, 2, 0, 1)
    request = hold_service_pb2.GetHoldForOrderRequest(hold_id=held.id)
    answer = await shop.internal.holds.GetHoldForOrder(request)
    now = await shop.see(published.id)
    assert [found.name for found in answer.event.ticket_types] == ["A", "C"]
    assert list(answer.event.ticket_types) == [now.ticket_types[0], now.ticket_types[2]]
    assert answer.event.ticket_types[0].remaining == 3
    del now.ticket_types[:], answer.event.ticket_types[:]
    assert (answer.hold, answer.event) == (held, now)
