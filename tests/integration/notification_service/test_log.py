"""Admins read the log of their mails and have one sent again."""

import asyncio

from tests.integration.notification_service.support import (
    Notification,
    PostOffice,
    eventually,
    in_state,
    refused,
)
from tests.unit.notification_service.reading import text_part


async def test_pages_show_every_mail_once_newest_first(office: PostOffice) -> None:
    sales = [await office.sell(organizer_id="org_1") for _ in range(5)]
    for sold in sales:
        await office.sent(sold)

    listed: list[Notification] = []
    token = ""
    while True:
        page = await office.notifications(office.admin("org_1"), page_size=2, page_token=token)
        assert len(page.notifications) <= 2
        listed += page.notifications
        token = page.next_page_token
        if not token:
            break

    assert {each.order_id for each in listed} == {sold.order.id for sold in sales}
    assert len(listed) == 5
    assert [each.id for each in listed] == sorted((each.id for each in listed), reverse=True)


async def test_admins_see_their_organizers_mails_and_the_superadmin_sees_all(
    office: PostOffice,
) -> None:
    mine = await office.sell(organizer_id="org_mine")
    theirs = await office.sell(organizer_id="org_theirs")
    for sold in (mine, theirs):
        await office.sent(sold)

    async def orders(*as_user: tuple[str, str]) -> set[str]:
        return {each.order_id for each in (await office.notifications(as_user)).notifications}

    assert await orders(*office.admin("org_mine")) == {mine.order.id}
    assert await orders(*office.admin("org_theirs")) == {theirs.order.id}
    assert await orders(*office.admin("org_third")) == set()
    assert await orders(*office.superadmin) == {mine.order.id, theirs.order.id}


async def test_the_log_can_be_filtered_by_order_and_state(office: PostOffice) -> None:
    good = await office.sell(organizer_id="org_1")
    await office.sent(good)
    bad = await office.sell(organizer_id="org_1", email="no address")
    await office.about(bad, in_state("DEAD"))

    async def orders(**filters: object) -> list[str]:
        page = await office.notifications(office.admin("org_1"), **filters)
        return [each.order_id for each in page.notifications]

    assert await orders(order_id=good.order.id) == [good.order.id]
    assert await orders(state=2) == [good.order.id]
    assert await orders(state=3) == [bad.order.id]
    assert await orders(state=1) == []
    assert await orders(order_id=good.order.id, state=3) == []


async def test_a_page_token_belongs_to_its_question(office: PostOffice) -> None:
    for _ in range(2):
        await office.sell(organizer_id="org_1")

    async def both() -> bool:
        return len((await office.notifications()).notifications) == 2

    await eventually(both)
    page = await office.notifications(page_size=1)

    with refused("INVALID_PAGE_TOKEN"):
        await office.notifications(page_size=1, page_token=page.next_page_token, state=3)
    with refused("INVALID_PAGE_TOKEN"):
        await office.notifications(page_token="nonsense")
    with refused("INVALID_REQUEST"):
        await office.notifications(page_size=201)


async def test_only_admins_read_the_log(office: PostOffice) -> None:
    with refused("ROLE_NOT_ALLOWED"):
        await office.notifications(office.issuer.metadata("org_1", "STAFF"))
    with refused("INVALID_TOKEN"):
        await office.notifications((("authorization", "Bearer x.y.z"),))


async def test_an_admin_has_a_mail_sent_again(office: PostOffice) -> None:
    sold = await office.sell(organizer_id="org_1")
    first = await office.sent(sold)

    queued = await office.resend(first.id, office.admin("org_1"))
    assert in_state("PENDING")(queued)
    assert queued.attempts == 0

    again = await office.sent(sold)
    assert again.id == first.id
    assert again.attempts == 1
    assert again.sent_at.ToDatetime() > first.sent_at.ToDatetime()
    before, after = office.mails()
    assert text_part(before) == text_part(after)
    # Asked for, it must not be dropped as a duplicate.
    assert before["Message-ID"] != after["Message-ID"]


async def test_a_resend_goes_to_the_address_that_the_order_has_by_then(
    office: PostOffice,
) -> None:
    sold = await office.sell(email="mistyped@")
    dead = await office.about(sold, in_state("DEAD"))
    sold.order.customer.email = "ada@example.org"

    await office.resend(dead.id)

    assert (await office.sent(sold)).recipient == "ada@example.org"


async def test_a_mail_on_its_way_cannot_be_sent_again(office: PostOffice) -> None:
    office.sales.away = True
    sold = await office.sell()
    waiting = await office.about(sold, in_state("PENDING"))

    with refused("NOTIFICATION_PENDING"):
        await office.resend(waiting.id)


async def test_somebody_elses_mail_is_not_there(office: PostOffice) -> None:
    sold = await office.sell(organizer_id="org_1")
    notification = await office.sent(sold)

    with refused("NOTIFICATION_NOT_FOUND"):
        await office.resend(notification.id, office.admin("org_2"))
    with refused("NOTIFICATION_NOT_FOUND"):
        await office.resend("ntf_none", office.admin("org_1"))
    with refused("ROLE_NOT_ALLOWED"):
        await office.resend(notification.id, office.issuer.metadata("org_1", "STAFF"))
    assert len(office.mails()) == 1


async def test_a_resend_repeated_with_its_key_is_one_resend(office: PostOffice) -> None:
    sold = await office.sell(organizer_id="org_1")
    notification = await office.sent(sold)
    admin = office.issuer.metadata("org_1", user_id="usr_1")

    queued = await office.resend(notification.id, admin, key="again")
    await office.sent(sold)
    assert await office.resend(notification.id, admin, key="again") == queued
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await office.resend("ntf_another", admin, key="again")

    assert len(office.mails()) == 2


async def test_of_resends_at_the_same_moment_one_has_an_effect(
    office: PostOffice,
) -> None:
    sold = await office.sell()
    notification = await office.sent(sold)
    office.sales.away = True

    results = await asyncio.gather(
        *(office.resend(notification.id) for _ in range(5)), return_exceptions=True
    )

    assert sum(not isinstance(result, Exception) for result in results) == 1
    office.sales.away = False
    await office.sent(sold)
    assert len(office.mails()) == 2
