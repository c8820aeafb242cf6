"""Mail over SMTP (RFC 5321)."""

import asyncio
from contextlib import suppress

import aiosmtplib

from notification_service.documents.domain import Mail
from notification_service.mailing.domain import Delayed, ServerDown, Undeliverable
from notification_service.settings import SmtpServer

_QUIT_TIMEOUT_S = 2
_TOO_LARGE = 552  # the one answer to MAIL that is about the mail


class SmtpTransport:
    """Hands each mail over in a conversation of its own, which may last `timeout_s` in all."""

    def __init__(self, server: SmtpServer, timeout_s: float) -> None:
        self._server = server
        self._timeout_s = timeout_s

    async def send(self, mail: Mail) -> None:
        """See MailTransport."""
        client = self._client(mail)
        try:
            await self._hand_over(client, mail)
            # The mail is taken: that the goodbye fails means nothing.
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_QUIT_TIMEOUT_S)
        finally:
            client.close()

    async def _hand_over(self, client: aiosmtplib.SMTP, mail: Mail) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await client.connect()
                await client.sendmail(mail.sender, mail.recipient, mail.content)
        except aiosmtplib.SMTPRecipientsRefused as error:
            _refuse(error.recipients[0])
        except aiosmtplib.SMTPDataError as error:
            _refuse(error)
        except aiosmtplib.SMTPSenderRefused as error:
            if error.code == _TOO_LARGE:
                _refuse(error)
            raise Delayed(_quote(error)) from error
        except aiosmtplib.SMTPResponseException as error:
            # Greeting, TLS or login: whatever the code, the cause is no mail's, and passes.
            raise ServerDown(_quote(error)) from error
        except TimeoutError as error:
            raise ServerDown("The mail server did not answer in time.") from error
        except (OSError, aiosmtplib.SMTPException) as error:
            raise ServerDown("The mail server cannot be reached.") from error
        except ValueError as error:  # aiosmtplib found that the address would break the protocol
            raise Undeliverable("The recipient's address is malformed.") from error

    def _client(self, mail: Mail) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            username=self._server.username or None,
            password=self._server.password or None,
            # By default the resolver is asked for the machine's name, which may take seconds.
            local_hostname=mail.sender.rpartition("@")[2],
            timeout=self._timeout_s,
            use_tls=self._server.scheme == "smtps",
            start_tls=self._server.scheme == "smtp+starttls",
        )


def _refuse(error: aiosmtplib.SMTPResponseException) -> None:
    """RFC 5321, 4.2.1: a 5 means never, a 4 means not now."""
    if error.code >= 500:
        raise Undeliverable(_quote(error)) from error
    raise Delayed(_quote(error)) from error


def _quote(error: aiosmtplib.SMTPResponseException) -> str:
    return f"The mail server refused: {error.code} {error.message}"
