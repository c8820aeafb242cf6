"""What an event's mails look like: written as the real ones are, of a made-up order."""

from email.headerregistry import Address

from kit.auth import Caller
from kit.errors import NotFound
from notification_service.documents.operations import Renderer
from notification_service.mailing.composer import Composer
from notification_service.mailing.made_up import MadeUp
from notification_service.notifications.domain import Kind
from notification_service.tickets_client import TicketsClient


class EventNotFound(NotFound):
    """There is no such event."""


class Previews:
    """Shows mails to those whose event it is. The arguments: see Composer."""

    def __init__(
        self, tickets: TicketsClient, renderer: Renderer, sender: Address, storefront_url: str
    ) -> None:
        self._tickets = tickets
        self._renderer = renderer
        self._sender = sender
        self._storefront_url = storefront_url

    async def show(self, caller: Caller, event_id: str, kind: Kind, *, plain_text: bool) -> str:
        """The HTML of a mail of this kind, or its plain text.

        Raises:
            EventNotFound: there is none, or it is another organizer's.
            TooManyDocuments: many are drawn right now.
        """
        event = await self._tickets.event(event_id)
        if not caller.works_for(event.organizer_id):
            raise EventNotFound
        made_up = MadeUp(event, kind)
        composer = Composer(made_up, self._renderer, self._sender, self._storefront_url)
        letter = await composer.letter(made_up.notification(kind))
        return await self._renderer.preview(letter, self._sender, plain_text=plain_text)
