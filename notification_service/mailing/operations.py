"""Sending what is due: claim a notification, compose its mail, hand it over, note how it went.

A mail is sent at least once, and twice only if this process, or its database, dies between the
mail server's consent and the commit that records it: no protocol closes that gap. Both mails then
have the same Message-ID and the same bytes, so whoever gets them can drop the second.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from kit import delivery, telemetry
from kit.batching import Batcher
from kit.database import Database
from kit.errors import TesseraError, Unavailable
from kit.ids import new_id
from notification_service.documents.domain import Mail
from notification_service.documents.wording import clean
from notification_service.mailing import domain
from notification_service.mailing.composer import Composer
from notification_service.mailing.domain import Delayed, Failure, ServerDown, Undeliverable
from notification_service.mailing.transport import MailTransport
from notification_service.notifications import store
from notification_service.notifications.domain import State
from notification_service.notifications.store import Claim, Outcome

# So many are in hand that there is always one to write, while others wait for facts or for the
# mail server; and so few that what is more urgent does not stand behind them for long.
AT_ONCE = 40
CLAIM_AT_LEAST = 20  # one statement claims many, unless fewer are due
LEASE = timedelta(seconds=15)  # renewed while an attempt lasts, which may be minutes
RENEW_EVERY_S = 5
POLL_S = 5.0  # for what another replica queued, or left behind when it died
PROBE_EVERY_S = 1.0  # while the mail server is down
RECORD_AGAIN_S = 0.5
ERROR_LIMIT = 300  # characters
_SETTLED_AT_ONCE = 100


class Dispatcher:
    """Delivers some notifications at once, what goes first first.

    While the mail server is down it tries one a second, whichever is due: composing a thousand
    mails to be told a thousand times costs too much. The first mail taken makes all others due.
    """

    def __init__(
        self,
        database: Database,
        composer: Composer,
        transport: MailTransport,
    ) -> None:
        self._database = database
        self._composer = composer
        self._transport = transport
        self._delivering: dict[asyncio.Task[None], Claim] = {}
        self._server_is_down = False
        self._others_may_wait = True  # for the server: since before this process began, even
        self._settling: Batcher[None, tuple[Claim, Outcome], None] = Batcher(
            self._settle, max_batch=_SETTLED_AT_ONCE, max_waiting=2 * AT_ONCE
        )

    async def dispatch_due(self) -> None:
        """Begin to deliver what is due; then sleep until there may be more."""
        limit, least = (1, 1) if self._server_is_down else (AT_ONCE, CLAIM_AT_LEAST)
        free = limit - len(self._delivering)
        if free < least:
            await asyncio.wait(self._delivering, return_when=asyncio.FIRST_COMPLETED)
            return
        async with self._database.begin() as tx:
            claims = await store.claim_due(tx, new_id("clm"), free, LEASE)
            is_all = len(claims) < free
            due_in_s = await store.next_due_in_s(tx) if is_all else None
        for claim in claims:
            task = asyncio.create_task(self._deliver(claim))
            self._delivering[task] = claim
            task.add_done_callback(self._delivering.pop)
        if self._server_is_down and claims:
            await asyncio.sleep(PROBE_EVERY_S)
        elif is_all:
            sleep_s = POLL_S if due_in_s is None else min(max(due_in_s, 0.05), POLL_S)
            await self._database.wait(store.DUE, sleep_s)

    async def renew_claims(self) -> None:
        """Keep what is in hand; most of it is gone long before this is due."""
        await asyncio.sleep(RENEW_EVERY_S)
        if self._delivering:
            async with self._database.begin() as tx:
                await store.renew(tx, list(self._delivering.values()), LEASE)

    async def close(self) -> None:
        """Let running deliveries end; those that take too long are cut, and come again."""
        await delivery.finish(self._delivering)
        await self._transport.close()

    async def _deliver(self, claim: Claim) -> None:
        try:
            mail, failure = await self._attempt(claim)
            self._note_server(claim, mail, failure)
            await self._record(claim, _outcome(claim, mail, failure))
        except Exception:  # it comes again when the claim ends
            telemetry.log.exception("delivery failed", notification_id=claim.notification.id)

    async def _attempt(self, claim: Claim) -> tuple[Mail | None, Failure | None]:
        """Compose and hand over; answers the mail as far as it came, and what went wrong."""
        mail = None
        try:
            if claim.lapses >= delivery.DELIVERY_LIMIT:
                return None, Failure("The service stopped each time it was sent.", can_retry=False)
            mail = await self._composer.compose(claim.notification)
            await self._transport.send(mail)
        except Undeliverable as error:
            return mail, Failure(str(error), can_retry=False)
        except Delayed as error:
            is_down = isinstance(error, ServerDown)
            return mail, Failure(str(error), can_retry=True, server_is_down=is_down)
        except TesseraError as error:
            return mail, Failure(error.message, can_retry=error.code != "NOT_FOUND")
        except Exception:
            telemetry.log.exception("attempt failed", notification_id=claim.notification.id)
            return mail, Failure("Something went wrong on our side.", can_retry=True)
        return mail, None

    def _note_server(self, claim: Claim, mail: Mail | None, failure: Failure | None) -> None:
        """Remember whether the mail server is down, and log that once and not for each mail."""
        was_down = self._server_is_down
        if failure and failure.server_is_down:
            self._server_is_down = self._others_may_wait = True
            if not was_down:
                telemetry.log.warning("mail server down", why=failure.error)
            return
        if mail:  # it answered, be it to refuse
            self._server_is_down = False
            if was_down:
                telemetry.log.info("mail server back")
        if failure:
            telemetry.log.warning(
                "mail not sent", notification_id=claim.notification.id, why=failure.error
            )

    async def _record(self, claim: Claim, outcome: Outcome) -> None:
        """Write down how it went, however long that takes: what is forgotten is sent twice."""
        while True:
            try:
                await self._settling.submit(None, (claim, outcome))
            except Unavailable:
                await asyncio.sleep(RECORD_AGAIN_S)
            else:
                return

    async def _settle(self, _: None, outcomes: Sequence[tuple[Claim, Outcome]]) -> Sequence[None]:
        """Write down how some attempts went, in one statement."""
        is_taken = any(outcome.state is State.SENT for _, outcome in outcomes)
        hurries = is_taken and self._others_may_wait
        self._others_may_wait = self._others_may_wait and not hurries
        try:
            async with self._database.begin() as tx:
                await store.settle(tx, outcomes)
                if hurries:
                    await store.hurry(tx)
        except BaseException:
            self._others_may_wait = self._others_may_wait or hurries
            raise
        return [None] * len(outcomes)


def _outcome(claim: Claim, mail: Mail | None, failure: Failure | None) -> Outcome:
    """What an attempt changes about a notification."""
    recipient, subject = (mail.recipient, mail.subject) if mail else (None, None)
    if failure is None:
        return Outcome(State.SENT, recipient, subject, "", waits_for_server=False, retry_in=None)
    delay = domain.retry_delay(failure, claim.notification.attempts, claim.age)
    return Outcome(
        State.DEAD if delay is None else State.PENDING,
        recipient,
        subject,
        clean(failure.error, ERROR_LIMIT),
        waits_for_server=failure.server_is_down and delay is not None,
        retry_in=delay,
    )
