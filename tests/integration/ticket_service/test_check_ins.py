"""The door: a ticket is accepted once, and every refusal has its reason."""

import asyncio

from tessera.ticket.v1 import ticket_pb2, ticket_service_pb2

from tests.integration.ticket_service.support import Organizer, Shop, new_key, refused

CheckIn = ticket_service_pb2.CheckIn


def result(checked: CheckIn) -> str:
    """`ACCEPTED`, or why not."""
    if checked.result == ticket_service_pb2.CHECK_IN_RESULT_ACCEPTED:
        assert not checked.HasField("reason")
        return "ACCEPTED"
    name = ticket_service_pb2.CheckInRejection.Name(checked.reason)
    return name.removeprefix("CHECK_IN_REJECTION_")


async def sold(shop: Shop, organizer: Organizer) -> ticket_pb2.Ticket:
    [ticket] = await shop.issue((await shop.hold(await shop.on_sale(organizer))).id)
    return ticket


async def test_a_ticket_is_accepted_once(shop: Shop, organizer: Organizer) -> None:
    ticket = await sold(shop, organizer)
    first = await shop.scan(organizer.staff, ticket.code)
    assert result(first) == "ACCEPTED"
    assert first.ticket.id == ticket.id
    assert first.ticket.admitted_at == first.checked_at
    second = await shop.scan(organizer.admin, ticket.code)
    assert result(second) == "ALREADY_ADMITTED"
    assert second.ticket.admitted_at == first.checked_at


async def test_two_doors_at_once_accept_a_ticket_once(shop: Shop, organizer: Organizer) -> None:
    for _ in range(5):
        ticket = await sold(shop, organizer)
        scans = await asyncio.gather(*(shop.scan(organizer.staff, ticket.code) for _ in range(6)))
        assert sorted(map(result, scans)) == ["ACCEPTED"] + ["ALREADY_ADMITTED"] * 5
        assert len({scan.ticket.admitted_at.ToNanoseconds() for scan in scans}) == 1


async def test_a_code_may_be_typed_in_by_hand(shop: Shop, organizer: Organizer) -> None:
    ticket = await sold(shop, organizer)
    assert result(await shop.scan(organizer.staff, f" {ticket.code.lower()} ")) == "ACCEPTED"


async def test_a_code_that_nobody_or_another_organizer_has_is_unknown(
    shop: Shop, organizer: Organizer
) -> None:
    theirs = await sold(shop, shop.organizer())
    for code in (theirs.code, "ABC", "https://example.org/?q=1", "' OR 1=1 --", "票"):
        scan = await shop.scan(organizer.staff, code)
        assert result(scan) == "UNKNOWN_TICKET"
        assert not scan.HasField("ticket")
    assert result(await shop.scan(organizer.staff, theirs.code)) == "UNKNOWN_TICKET"


async def test_a_ticket_that_was_taken_back_is_refused(shop: Shop, organizer: Organizer) -> None:
    ticket = await sold(shop, organizer)
    await shop.take_back(ticket.order_id)
    assert result(await shop.scan(organizer.staff, ticket.code)) == "TICKET_CANCELLED"


async def test_nobody_is_admitted_to_a_cancelled_event(shop: Shop, organizer: Organizer) -> None:
    ticket = await sold(shop, organizer)
    await shop.cancel(organizer, ticket.event_id)
    assert result(await shop.scan(organizer.staff, ticket.code)) == "EVENT_CANCELLED"


async def test_a_door_for_one_event_refuses_anothers_ticket(
    shop: Shop, organizer: Organizer
) -> None:
    here, elsewhere = await sold(shop, organizer), await sold(shop, organizer)
    wrong = await shop.scan(organizer.staff, elsewhere.code, event_id=here.event_id)
    assert result(wrong) == "WRONG_EVENT"
    right = await shop.scan(organizer.staff, elsewhere.code, event_id=elsewhere.event_id)
    assert result(right) == "ACCEPTED"


async def test_every_scan_of_a_known_ticket_is_noted_with_who_did_it(
    shop: Shop, organizer: Organizer
) -> None:
    ticket = await sold(shop, organizer)
    for _ in range(2):
        await shop.scan(organizer.admin, ticket.code)
    noted = await shop.execute(
        "SELECT user_id, rejection FROM check_ins WHERE ticket_id = :id ORDER BY id", id=ticket.id
    )
    assert [tuple(row) for row in noted] == [
        (organizer.admin_id, None),
        (organizer.admin_id, "ALREADY_ADMITTED"),
    ]


async def test_the_same_key_and_scan_give_the_same_answer(shop: Shop, organizer: Organizer) -> None:
    ticket, key = await sold(shop, organizer), new_key()
    first = await shop.scan(organizer.staff, ticket.code, idempotency_key=key)
    again = await shop.scan(organizer.staff, ticket.code, idempotency_key=key)
    assert result(first) == "ACCEPTED"
    assert again == first
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.scan(organizer.staff, "ANOTHER", idempotency_key=key)
    unknown = await shop.scan(organizer.staff, "NONE", idempotency_key=(key := new_key()))
    assert await shop.scan(organizer.staff, "NONE", idempotency_key=key) == unknown


async def test_only_the_organizers_people_scan(shop: Shop) -> None:
    with refused("TOKEN_MISSING"):
        await shop.scan((), "ABC")
    with refused("ROLE_NOT_ALLOWED"):
        await shop.scan(shop.issuer.metadata("", "SUPERADMIN"), "ABC")


async def test_a_code_of_no_length_is_no_code(shop: Shop, organizer: Organizer) -> None:
    for code in ("", "x" * 201, "\0"):
        with refused("INVALID_REQUEST", field="ticket_code"):
            await shop.scan(organizer.staff, code)
