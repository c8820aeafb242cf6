"""Mail over SMTP (RFC 5321)."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import aiosmtplib

from notification_service.documents.domain import Mail
from notification_service.mailing.domain import Delayed, ServerDown, Undeliverable
from notification_service.settings import SmtpServer

CONNECTIONS = 8
MAILS_PER_CONNECTION = 100  # some servers allow no more
REST_S = 5.0  # how long a connection is kept for another mail: servers wait 5 minutes, or 10 s
_QUIT_TIMEOUT_S = 2
_TOO_LARGE = 552  # the one answer to MAIL that is about the mail
_GOODBYE = 421  # RFC 5321, 3.8: said by a server at any moment


@dataclass(slots=True)
class _Conversation:
    """A connection, how many mails it has seen, and what ends its rest."""

    client: aiosmtplib.SMTP
    mails: int = 0
    alarm: asyncio.TimerHandle | None = None


class SmtpTransport:
    """Hands mails over, eight at a time, each of which may take `timeout_s` in all.

    A connection that has done its work well takes the next mail: greeting, TLS and login cost more
    than a mail does.
    """

    def __init__(self, server: SmtpServer, timeout_s: float) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._resting: list[_Conversation] = []
        self._leaving: set[asyncio.Task[None]] = set()

    async def send(self, mail: Mail) -> None:
        """See MailTransport."""
        async with self._turns:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._hand_over(mail)
            except aiosmtplib.SMTPRecipientRefused as error:
                _refuse(error)
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
            except ValueError as error:  # the address would break the protocol
                raise Undeliverable("The recipient's address is malformed.") from error

    async def close(self) -> None:
        """See MailTransport."""
        while self._resting:
            self._leave(self._resting.pop())
        await asyncio.gather(*self._leaving)

    async def _hand_over(self, mail: Mail) -> None:
        conversation = await self._begun(mail)
        try:
            await conversation.client.rcpt(mail.recipient)
            await conversation.client.data(mail.content)
        except BaseException:
            conversation.client.close()
            raise
        conversation.mails += 1
        if conversation.mails < MAILS_PER_CONNECTION:
            self._rest(conversation)
        else:
            self._leave(conversation)

    async def _begun(self, mail: Mail) -> _Conversation:
        """A conversation in which the server has taken the sender: an old one, or a new one.

        That the server has ended an old one meanwhile, or ends it now, is no mail's fault: it does
        not have the mail yet.
        """
        while self._resting:
            conversation = self._resting.pop()
            if conversation.alarm:
                conversation.alarm.cancel()
            try:
                await self._begin(conversation.client, mail)
            except aiosmtplib.SMTPServerDisconnected:
                continue
            except aiosmtplib.SMTPSenderRefused as error:
                if error.code != _GOODBYE:
                    raise
            else:
                return conversation
        client = self._client(mail)
        try:
            await client.connect()
            await self._begin(client, mail)
        except BaseException:
            client.close()
            raise
        return _Conversation(client)

    async def _begin(self, client: aiosmtplib.SMTP, mail: Mail) -> None:
        try:
            knows_sizes = client.supports_extension("size")  # RFC 1870
            await client.mail(
                mail.sender, options=[f"SIZE={len(mail.content)}"] if knows_sizes else []
            )
        except BaseException:
            client.close()
            raise

    def _rest(self, conversation: _Conversation) -> None:
        def end() -> None:
            self._resting.remove(conversation)
            self._leave(conversation)

        self._resting.append(conversation)
        conversation.alarm = asyncio.get_running_loop().call_later(REST_S, end)

    def _leave(self, conversation: _Conversation) -> None:
        """Say goodbye, in the background: that it fails means nothing."""
        if conversation.alarm:
            conversation.alarm.cancel()
        task = asyncio.create_task(_quit(conversation.client))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

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


async def _quit(client: aiosmtplib.SMTP) -> None:
    try:
        with suppress(aiosmtplib.SMTPException, OSError):
            await client.quit(timeout=_QUIT_TIMEOUT_S)
    finally:
        client.close()


def _refuse(error: aiosmtplib.SMTPResponseException) -> None:
    """RFC 5321, 4.2.1: a 5 means never, a 4 means not now."""
    if error.code >= 500:
        raise Undeliverable(_quote(error)) from error
    raise Delayed(_quote(error)) from error


def _quote(error: aiosmtplib.SMTPResponseException) -> str:
    return f"The mail server refused: {error.code} {error.message}"
