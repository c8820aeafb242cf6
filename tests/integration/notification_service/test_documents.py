"""payment_service has tickets drawn."""

from tessera.notification.v1 import document_service_pb2

from tests.integration.notification_service.sales import Sale, sale
from tests.integration.notification_service.support import (
    PostOffice,
    refused,
)
from tests.unit.notification_service.reading import pages, qr_codes, text_of


def drawing(of: Sale) -> document_service_pb2.RenderTicketsRequest:
    return document_service_pb2.RenderTicketsRequest(
        event=of.event, order=of.order, tickets=of.tickets
    )


async def test_tickets_are_drawn_a_page_each(office: PostOffice) -> None:
    sold = sale(count=3)

    drawn = await office.documents("payment_service").RenderTickets(drawing(sold))

    assert drawn.content_type == "application/pdf"
    assert [qr_codes(page) for page in pages(drawn.data)] == [[code] for code in sold.codes]
    assert "Jazz on the River" in text_of(drawn.data)


async def test_only_payment_service_has_tickets_drawn(office: PostOffice) -> None:
    for caller in ("gateway", "ticket_service", "user_service"):
        with refused("SERVICE_NOT_ALLOWED"):
            await office.documents(caller).RenderTickets(drawing(sale()))


async def test_a_ticket_that_the_order_does_not_have_is_refused(office: PostOffice) -> None:
    sold, other = sale(), sale()
    sold.tickets.extend(other.tickets)

    with refused("TICKET_NOT_ORDERED"):
        await office.documents("payment_service").RenderTickets(drawing(sold))


async def test_a_document_without_tickets_is_refused(office: PostOffice) -> None:
    sold = sale(count=1)
    sold.tickets.clear()

    with refused("INVALID_REQUEST"):
        await office.documents("payment_service").RenderTickets(drawing(sold))
