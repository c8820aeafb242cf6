"""Admins see what their event's mails look like, before there is an order."""

import re

import pytest
from google.api import httpbody_pb2
from tessera.notification.v1 import notification_pb2, notification_service_pb2
from tessera.ticket.v1 import event_pb2, ticket_type_pb2

from kit.proto_money import to_proto
from notification_service.notifications.domain import Kind
from tests.integration.notification_service.sales import Sale, sale
from tests.integration.notification_service.support import PostOffice, refused
from tests.support.tokens import Metadata


def a_draft(office: PostOffice, currency_code: str = "EUR") -> Sale:
    """An event that sells nothing yet, with all that has a price."""
    made = office.sales.add(sale(organizer_id="org_1", currency_code=currency_code))
    made.event.state = event_pb2.EVENT_STATE_DRAFT
    made.event.ticket_types.extend(
        [
            ticket_type_pb2.TicketType(
                id="tt_1",
                name="Stalls",
                price=to_proto(currency_code, 5000),
                tax_rate="19",
                tax_included=True,
                is_seated=True,
            ),
            ticket_type_pb2.TicketType(
                id="tt_2", name="Gallery", price=to_proto(currency_code, 2000), tax_rate="8.875"
            ),
        ]
    )
    made.event.booking_fee.CopyFrom(
        event_pb2.BookingFee(
            per_ticket=to_proto(currency_code, 100), percentage="2.5", tax_rate="19"
        )
    )
    return made


SHOWING_TICKETS = (
    Kind.RECEIPT,
    Kind.REFUND,
    Kind.TICKET_TRANSFERRED,
    Kind.TICKET_WITHDRAWN,
    Kind.WAITLIST_OFFER,
)


async def preview(
    office: PostOffice,
    of: Sale,
    kind: str,
    as_user: Metadata | None = None,
    *,
    plain_text: bool = False,
) -> httpbody_pb2.HttpBody:
    request = notification_service_pb2.PreviewNotificationRequest(
        event_id=of.event.id,
        kind=notification_pb2.NotificationKind.Value(f"NOTIFICATION_KIND_{kind}"),
        plain_text=plain_text,
    )
    admin = office.admin("org_1") if as_user is None else as_user
    return await office.log.PreviewNotification(request, metadata=admin)


@pytest.mark.parametrize("kind", Kind)
async def test_each_kind_has_a_preview_with_the_events_own_facts(
    office: PostOffice, kind: Kind
) -> None:
    draft = a_draft(office)

    html = await preview(office, draft, kind)
    text = await preview(office, draft, kind, plain_text=True)

    assert html.content_type == "text/html; charset=utf-8"
    assert text.content_type == "text/plain; charset=utf-8"
    assert b"<!doctype html>" in html.data.lower()
    assert b"<" not in text.data
    for shown in (html.data.decode(), text.data.decode()):
        if kind is not Kind.ORDER_LOOKUP:
            assert "Jazz on the River" in shown
            assert "Arena di Verona" in shown
        if kind in SHOWING_TICKETS:
            assert "Stalls" in shown
    assert not office.mails()
    assert not (await office.notifications()).notifications


async def test_the_receipts_preview_has_the_events_prices_tax_and_fee(office: PostOffice) -> None:
    shown = (await preview(office, a_draft(office), "RECEIPT", plain_text=True)).data.decode()

    # Twice 50.00 with 19 % in it, 20.00 and 8.875 % on it, thrice 1.00 and 2.5 % of 121.78.
    assert "2 x Stalls, €50.00 each: €100.00" in shown
    assert "1 x Gallery, €20.00 each: €20.00" in shown
    assert "Tax, 8.875%: €1.78" in shown
    assert "Booking fee: €6.04" in shown
    assert "Total: €127.82" in shown
    assert "Contains 19% tax on €89.11: €16.93" in shown
    assert "Contains 8.875% tax on €20.00: €1.78" in shown
    assert "Stalls, row 4, seat 12" in shown


async def test_a_preview_is_in_the_events_currency(office: PostOffice) -> None:
    shown = await preview(office, a_draft(office, "JPY"), "RECEIPT", plain_text=True)
    assert re.search("2 x Stalls, ¥5,000 each: ¥10,000", shown.data.decode())


async def test_an_event_without_ticket_types_has_previews_too(office: PostOffice) -> None:
    bare = office.sales.add(sale(organizer_id="org_1"))
    for kind in Kind:
        assert (await preview(office, bare, kind)).data


async def test_markup_in_a_title_is_shown_and_not_obeyed(office: PostOffice) -> None:
    draft = a_draft(office)
    draft.event.title = "<script>alert(1)</script>"
    assert b"<script" not in (await preview(office, draft, "RECEIPT")).data


async def test_only_the_events_admins_see_its_previews(office: PostOffice) -> None:
    draft = a_draft(office)
    with refused("EVENT_NOT_FOUND"):
        await preview(office, draft, "RECEIPT", office.admin("org_2"))
    with refused("EVENT_NOT_FOUND"):
        await preview(office, sale(), "RECEIPT")
    with refused("ROLE_NOT_ALLOWED"):
        await preview(office, draft, "RECEIPT", office.issuer.metadata("org_1", "STAFF"))
    with refused("TOKEN_MISSING"):
        await preview(office, draft, "RECEIPT", ())
    assert (await preview(office, draft, "RECEIPT", office.superadmin)).data


async def test_a_preview_is_of_one_kind(office: PostOffice) -> None:
    with refused("INVALID_REQUEST"):
        await preview(office, a_draft(office), "UNSPECIFIED")
