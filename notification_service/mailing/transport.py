"""What hands mail over to a mail server: the seam that SMTP fills."""

from typing import Protocol

from notification_service.documents.domain import Mail


class MailTransport(Protocol):
    """A way to send mail."""

    async def send(self, mail: Mail) -> None:
        """Return once a server has taken responsibility for the mail.

        Raises:
            Undeliverable: this mail, or its recipient, was refused for good.
            Delayed: this mail was refused for now.
            ServerDown: no mail would be taken now.
        """

    async def close(self) -> None:
        """Say goodbye to the mail server."""
