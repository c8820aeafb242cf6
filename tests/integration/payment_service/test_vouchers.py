"""Vouchers: what admins make of them, and what customers see."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tessera.payment.v1 import voucher_pb2, voucher_service_pb2, voucher_service_pb2_grpc
from tessera.ticket.v1 import event_pb2, event_service_pb2, ticket_type_pb2

from kit.rpc_errors import RemoteError
from tests.integration.payment_service.support import Shop
from tests.integration.ticket_service.support import event as event_request
from tests.integration.ticket_service.support import outcome, patch, refused, ticket_type

Event = event_pb2.Event
Voucher = voucher_pb2.Voucher
FIVE_EUROS = {"currency_code": "EUR", "amount": "5.00"}


async def make(shop: Shop, **fields: Any) -> Voucher:
    request = voucher_service_pb2.CreateVoucherRequest(**fields)
    return await shop.payments.vouchers.CreateVoucher(request, metadata=shop.admin)


async def get(shop: Shop, of: Voucher) -> Voucher:
    request = voucher_service_pb2.GetVoucherRequest(voucher_id=of.id)
    return await shop.payments.vouchers.GetVoucher(request, metadata=shop.admin)


async def change(shop: Shop, of: Voucher, null: tuple[str, ...] = (), **fields: Any) -> Voucher:
    request = patch(voucher_service_pb2.UpdateVoucherRequest, null=null, voucher_id=of.id, **fields)
    return await shop.payments.vouchers.UpdateVoucher(request, metadata=shop.admin)


async def delete(shop: Shop, of: Voucher, if_match: str = "") -> None:
    request = voucher_service_pb2.DeleteVoucherRequest(voucher_id=of.id, if_match=if_match)
    await shop.payments.vouchers.DeleteVoucher(request, metadata=shop.admin)


async def listed(shop: Shop, **fields: Any) -> list[Voucher]:
    request = voucher_service_pb2.ListVouchersRequest(**fields)
    page = await shop.payments.vouchers.ListVouchers(request, metadata=shop.admin)
    return list(page.vouchers)


async def check(shop: Shop, event_id: str, code: str) -> voucher_service_pb2.VoucherOffer:
    request = voucher_service_pb2.CheckVoucherRequest(event_id=event_id, code=code)
    return await shop.payments.vouchers.CheckVoucher(request)


async def opened(shop: Shop, event_id: str, code: str) -> list[str]:
    channel = shop.installation.mesh("ticket_service").channel("payment_service")
    stub = voucher_service_pb2_grpc.VoucherServiceStub(channel)
    request = voucher_service_pb2.OpenTicketTypesRequest(event_id=event_id, code=code)
    return list((await stub.OpenTicketTypes(request)).ticket_type_ids)


async def add_type(shop: Shop, to: Event, **fields: Any) -> ticket_type_pb2.TicketType:
    request = ticket_type(to.id, **fields)
    return await shop.tickets.events.CreateTicketType(request, metadata=shop.admin)


def from_now(**time: float) -> datetime:
    return datetime.now(UTC) + timedelta(**time)


async def test_a_code_is_made_up_when_none_is_given(shop: Shop) -> None:
    made, other = await make(shop, percentage="20"), await make(shop)
    assert made.id.startswith("vch_")
    assert len(made.code) == 10
    assert made.code.isupper()
    assert made.code != other.code
    assert (made.percentage, made.HasField("amount")) == ("20", False)
    assert (made.redeemed, made.version, made.organizer_id) == (0, 1, shop.organizer_id)
    assert not made.HasField("max_redemptions")
    assert await get(shop, made) == made


async def test_a_code_is_the_organizers_once_in_any_case(shop: Shop) -> None:
    made = await make(shop, code="Spring-20")
    assert made.code == "SPRING-20"
    with refused("VOUCHER_CODE_TAKEN"):
        await make(shop, code="spring-20")
    other = await make(shop_of_another(shop), code="SPRING-20")
    assert other.id != made.id


def shop_of_another(shop: Shop) -> Shop:
    return Shop(shop.installation, shop.announced, shop.webhooks_url)


async def test_one_of_many_who_want_the_same_code_gets_it(shop: Shop) -> None:
    outcomes = await asyncio.gather(*(outcome(make(shop, code="FRIENDS")) for _ in range(10)))
    assert sorted(outcomes) == ["OK", *["VOUCHER_CODE_TAKEN"] * 9]


async def test_a_voucher_keeps_all_that_it_was_made_with(shop: Shop) -> None:
    event = await shop.event()
    made = await make(
        shop,
        event_id=event.id,
        ticket_type_ids=[event.ticket_types[0].id],
        amount=FIVE_EUROS,
        max_redemptions=100,
        max_per_customer=2,
        max_per_event=50,
        valid_from=from_now(hours=-1),
        valid_until=from_now(hours=1),
    )
    seen = await get(shop, made)
    assert seen == made
    assert (seen.amount.amount, seen.percentage) == ("5.00", "")
    assert (seen.max_redemptions, seen.max_per_customer, seen.max_per_event) == (100, 2, 50)
    assert list(seen.ticket_type_ids) == [event.ticket_types[0].id]


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"percentage": "20", "amount": FIVE_EUROS}, "INVALID_VOUCHER", "amount"),
        ({"ticket_type_ids": ["tt_1"]}, "INVALID_VOUCHER", "ticket_type_ids"),
        ({"percentage": "100.5"}, "INVALID_PERCENTAGE", "percentage"),
        ({"percentage": "101"}, "INVALID_REQUEST", "percentage"),
        ({"amount": {"currency_code": "EUR", "amount": "5"}}, "INVALID_AMOUNT", "amount.amount"),
        (
            {"amount": {"currency_code": "XXX", "amount": "5"}},
            "UNKNOWN_CURRENCY",
            "amount.currency_code",
        ),
        ({"code": "ab"}, "INVALID_REQUEST", "code"),
        ({"code": "two words"}, "INVALID_REQUEST", "code"),
        ({"max_redemptions": 0}, "INVALID_REQUEST", "max_redemptions"),
    ],
)
async def test_a_voucher_that_makes_no_sense_is_refused(
    shop: Shop, fields: dict[str, Any], reason: str, field: str
) -> None:
    with refused(reason, field=field):
        await make(shop, **fields)


async def test_a_voucher_fits_the_event_that_it_is_for(shop: Shop) -> None:
    event, other = await shop.event(), await shop.event(currency="JPY", price="5000")
    theirs = await shop_of_another(shop).event()
    with refused("EVENT_NOT_FOUND"):
        await make(shop, event_id=theirs.id)
    with refused("EVENT_NOT_FOUND"):
        await make(shop, event_id="evt_0")
    with refused("TICKET_TYPE_NOT_FOUND"):
        await make(shop, event_id=event.id, ticket_type_ids=[other.ticket_types[0].id])
    with refused("CURRENCY_MISMATCH", field="amount.currency_code"):
        await make(shop, event_id=other.id, amount=FIVE_EUROS)
    made = await make(shop, event_id=event.id, amount=FIVE_EUROS)
    with refused("TICKET_TYPE_NOT_FOUND"):
        await change(shop, made, ticket_type_ids=["tt_0"])
    with refused("CURRENCY_MISMATCH"):
        await change(shop, made, amount={"currency_code": "JPY", "amount": "500"})
    assert await get(shop, made) == made


async def test_only_its_organizers_admins_see_and_change_a_voucher(shop: Shop) -> None:
    made, stranger = await make(shop, code="SECRET"), shop_of_another(shop)
    for call in (
        get(stranger, made),
        change(stranger, made, percentage="50"),
        delete(stranger, made),
    ):
        with refused("VOUCHER_NOT_FOUND"):
            await call
    assert await listed(stranger) == []
    staff = shop.installation.issuer.metadata(shop.organizer_id, "STAFF")
    with refused("ROLE_NOT_ALLOWED"):
        await shop.payments.vouchers.GetVoucher(
            voucher_service_pb2.GetVoucherRequest(voucher_id=made.id), metadata=staff
        )
    superadmin = shop.installation.issuer.metadata("", "SUPERADMIN")
    seen = await shop.payments.vouchers.GetVoucher(
        voucher_service_pb2.GetVoucherRequest(voucher_id=made.id), metadata=superadmin
    )
    assert seen == made


async def test_a_change_changes_what_is_sent_and_nothing_else(shop: Shop) -> None:
    made = await make(shop, percentage="20", max_redemptions=5, valid_until=from_now(hours=1))
    changed = await change(shop, made, max_redemptions=7, if_match='"1"')
    assert (changed.max_redemptions, changed.percentage, changed.version) == (7, "20", 2)
    changed = await change(shop, made, null=("max_redemptions", "valid_until"))
    assert not changed.HasField("max_redemptions")
    assert not changed.HasField("valid_until")
    changed = await change(shop, made, null=("percentage",), amount=FIVE_EUROS)
    assert (changed.percentage, changed.amount.amount) == ("", "5.00")
    changed = await change(shop, made, null=("amount",))
    assert not changed.HasField("amount")
    with refused("VERSION_MISMATCH"):
        await change(shop, made, percentage="30", if_match='"1"')
    with refused("INVALID_VOUCHER", field="valid_until"):
        await change(shop, made, valid_from=from_now(hours=1), valid_until=from_now(hours=0))
    assert await get(shop, made) == changed


@pytest.mark.parametrize("field", ["voucher_id", "code", "event_id", "redeemed"])
async def test_what_a_voucher_is_called_and_for_cannot_change(shop: Shop, field: str) -> None:
    made = await make(shop)
    with refused("FIELD_NOT_CHANGEABLE", field=field):
        await change(shop, made, null=(field,))


async def test_a_voucher_that_nobody_used_can_be_deleted(shop: Shop) -> None:
    made = await make(shop, code="OOPS")
    with refused("VERSION_MISMATCH"):
        await delete(shop, made, if_match='"2"')
    await delete(shop, made, if_match='"1"')
    with refused("VOUCHER_NOT_FOUND"):
        await get(shop, made)
    with refused("VOUCHER_NOT_FOUND"):
        await delete(shop, made)
    assert (await make(shop, code="OOPS")).id != made.id


async def test_vouchers_are_listed_newest_first_in_pages(shop: Shop) -> None:
    event = await shop.event()
    made = [await make(shop, event_id=event.id if number % 2 else "") for number in range(5)][::-1]
    assert await listed(shop) == made
    assert await listed(shop, event_id=event.id) == [made[1], made[3]]
    assert await listed(shop, code=made[2].code.lower()) == [made[2]]
    request = voucher_service_pb2.ListVouchersRequest(page_size=2)
    seen: list[Voucher] = []
    while True:
        page = await shop.payments.vouchers.ListVouchers(request, metadata=shop.admin)
        seen += page.vouchers
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == made


async def test_the_same_key_makes_one_voucher_even_when_its_event_is_gone(shop: Shop) -> None:
    draft = await shop.tickets.events.CreateEvent(event_request(), metadata=shop.admin)
    key = uuid.uuid4().hex
    made = await make(shop, event_id=draft.id, idempotency_key=key)
    gone = event_service_pb2.DeleteEventRequest(event_id=draft.id)
    await shop.tickets.events.DeleteEvent(gone, metadata=shop.admin)
    assert await make(shop, event_id=draft.id, idempotency_key=key) == made
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await make(shop, percentage="10", idempotency_key=key)
    assert await listed(shop) == [made]


# What customers see


async def test_customers_see_what_a_code_does_for_an_event(shop: Shop) -> None:
    event = await shop.event()
    until = from_now(hours=1).replace(microsecond=0)
    await make(shop, code="SPRING", percentage="12.5", valid_until=until)
    offer = await check(shop, event.id, "spring")
    assert (offer.code, offer.percentage, offer.HasField("amount")) == ("SPRING", "12.5", False)
    assert offer.valid_until.ToDatetime(UTC) == until
    assert [found.id for found in offer.ticket_types] == [event.ticket_types[0].id]
    await make(shop, code="FIVER", amount=FIVE_EUROS)
    assert (await check(shop, event.id, "FIVER")).amount.amount == "5.00"


async def test_only_a_voucher_that_names_a_hidden_ticket_type_shows_it(shop: Shop) -> None:
    event = await shop.event()
    public = event.ticket_types[0]
    secret = await add_type(shop, event, is_hidden=True, name="Members")
    await make(shop, code="EVERYBODY", percentage="10")
    await make(shop, code="MEMBERS", event_id=event.id, ticket_type_ids=[secret.id])
    await make(shop, code="BOTH", event_id=event.id, ticket_type_ids=[secret.id, public.id])
    for code, expected in (
        ("EVERYBODY", [public.id]),
        ("MEMBERS", [secret.id]),
        ("BOTH", [public.id, secret.id]),
    ):
        offer = await check(shop, event.id, code)
        assert [found.id for found in offer.ticket_types] == expected
    assert await opened(shop, event.id, "members") == [secret.id]
    assert await opened(shop, event.id, "EVERYBODY") == []


async def test_a_code_of_nobody_and_one_of_another_organizer_are_told_apart_by_nothing(
    shop: Shop,
) -> None:
    event, stranger = await shop.event(), shop_of_another(shop)
    await make(stranger, code="THEIRS")
    draft = await shop.tickets.events.CreateEvent(event_request(), metadata=shop.admin)
    await make(shop, code="OURS")
    told: set[tuple[str, str, str]] = set()
    for event_id, code in (
        (event.id, "NOBODYS"),
        (event.id, "THEIRS"),
        (draft.id, "OURS"),
        ("evt_0", "OURS"),
    ):
        with pytest.raises(RemoteError) as caught:
            await check(shop, event_id, code)
        told.add((caught.value.code, caught.value.reason, caught.value.message))
    for event_id, code in ((event.id, "NOBODYS"), (event.id, "THEIRS"), ("evt_0", "OURS")):
        with pytest.raises(RemoteError) as caught:
            await opened(shop, event_id, code)
        told.add((caught.value.code, caught.value.reason, caught.value.message))
    assert told == {("NOT_FOUND", "VOUCHER_NOT_FOUND", "There is no such voucher.")}


async def test_its_admins_can_try_a_code_before_the_event_is_published(shop: Shop) -> None:
    draft = await shop.tickets.events.CreateEvent(event_request(), metadata=shop.admin)
    await add_type(shop, draft)
    await make(shop, code="SPRING")
    request = voucher_service_pb2.CheckVoucherRequest(event_id=draft.id, code="SPRING")
    offer = await shop.payments.vouchers.CheckVoucher(request, metadata=shop.admin)
    assert len(offer.ticket_types) == 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"valid_from": from_now(hours=1)}, "not valid yet"),
        ({"valid_until": from_now(hours=-1)}, "no longer valid"),
        ({"amount": {"currency_code": "JPY", "amount": "500"}}, "JPY"),
    ],
)
async def test_customers_are_told_why_a_voucher_is_not_for_them(
    shop: Shop, fields: dict[str, Any], sentence: str
) -> None:
    event = await shop.event()
    await make(shop, code="SPRING", **fields)
    with pytest.raises(RemoteError, match=sentence) as caught:
        await check(shop, event.id, "SPRING")
    assert (caught.value.reason, caught.value.code) == (
        "VOUCHER_NOT_APPLICABLE",
        "FAILED_PRECONDITION",
    )


async def test_a_voucher_of_another_event_says_so(shop: Shop) -> None:
    event, other = await shop.event(), await shop.event()
    await make(shop, code="SPRING", event_id=other.id)
    for call in (check(shop, event.id, "SPRING"), opened(shop, event.id, "SPRING")):
        with pytest.raises(RemoteError, match="another event") as caught:
            await call
        assert caught.value.reason == "VOUCHER_NOT_APPLICABLE"


async def test_only_ticket_service_may_ask_what_a_code_opens(shop: Shop) -> None:
    request = voucher_service_pb2.OpenTicketTypesRequest(event_id="evt_0", code="SPRING")
    with refused("SERVICE_NOT_ALLOWED"):
        await shop.payments.vouchers.OpenTicketTypes(request, metadata=())
