"""Every SQL statement about sessions, their refresh tokens, and failed sign-ins."""

from datetime import timedelta

from sqlalchemy import case, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from kit.database import Transaction
from user_service.sessions.domain import FAILURES_COUNT_FOR, RefreshToken, SessionEnded
from user_service.tables import refresh_tokens, sessions, sign_in_failures


async def add_session(
    tx: Transaction, session_id: str, user_id: str, token_digest: bytes, lifetime: timedelta
) -> None:
    """Begin a session with its first refresh token."""
    await tx.execute(
        insert(sessions).values(id=session_id, user_id=user_id, expires_at=func.now() + lifetime)
    )
    await _add_refresh_token(tx, session_id, token_digest, lifetime)


async def replace_refresh_token(
    tx: Transaction, session_id: str, old: bytes, new: bytes, lifetime: timedelta
) -> None:
    """Mark one refresh token as used, and keep the next; the session lives as long as that."""
    used = update(refresh_tokens).where(refresh_tokens.c.digest == old)
    await tx.execute(used.values(used_at=func.now()))
    await _add_refresh_token(tx, session_id, new, lifetime)
    prolonged = update(sessions).where(sessions.c.id == session_id)
    await tx.execute(prolonged.values(expires_at=func.now() + lifetime))


async def find_owner(tx: Transaction, token_digest: bytes) -> str | None:
    """The id of the user who was given a refresh token."""
    found = (
        select(sessions.c.user_id)
        .join(refresh_tokens, refresh_tokens.c.session_id == sessions.c.id)
        .where(refresh_tokens.c.digest == token_digest)
    )
    owner: str | None = (await tx.execute(found)).scalar_one_or_none()
    return owner


async def find_refresh_token(tx: Transaction, token_digest: bytes) -> RefreshToken | None:
    """A refresh token; hold its owner's lock while acting on it."""
    found = select(
        refresh_tokens.c.session_id,
        refresh_tokens.c.used_at.is_not(None).label("used"),
        (refresh_tokens.c.expires_at <= func.now()).label("expired"),
    ).where(refresh_tokens.c.digest == token_digest)
    row = (await tx.execute(found)).first()
    return RefreshToken(row.session_id, row.used, row.expired) if row else None


async def end_session(tx: Transaction, session_id: str) -> None:
    """End a session, and with it its refresh tokens."""
    await tx.execute(delete(sessions).where(sessions.c.id == session_id))


async def end_sessions_of(tx: Transaction, user_id: str) -> None:
    """End all sessions of a locked user."""
    await tx.execute(delete(sessions).where(sessions.c.user_id == user_id))


async def is_live(tx: Transaction, session_id: str) -> bool:
    """Whether a session goes on. One that does has an active user, whose role never changes."""
    live = (sessions.c.id == session_id) & (sessions.c.expires_at > func.now())
    return (await tx.execute(select(sessions.c.id).where(live))).first() is not None


async def require_live(tx: Transaction, session_id: str) -> None:
    """Go on only in a session that does.

    Raises:
        SessionEnded: it ended after its access token was issued.
    """
    if not await is_live(tx, session_id):
        raise SessionEnded


async def lock_address(tx: Transaction, address_digest: bytes) -> None:
    """Let one transaction at a time decide about signing in with an address, known or not."""
    name = func.hashtextextended(address_digest.hex(), 0)
    await tx.execute(select(func.pg_advisory_xact_lock(name)))


async def count_failures(tx: Transaction, address_digest: bytes) -> int:
    """How often signing in with an address has failed lately."""
    found = select(sign_in_failures.c.count).where(
        sign_in_failures.c.address_digest == address_digest,
        sign_in_failures.c.first_at > func.now() - FAILURES_COUNT_FOR,
    )
    return (await tx.execute(found)).scalar_one_or_none() or 0


async def add_failure(tx: Transaction, address_digest: bytes) -> None:
    """Count one more failure; counting starts again after a while."""
    first = upsert(sign_in_failures).values(address_digest=address_digest, count=1)
    is_old = sign_in_failures.c.first_at <= func.now() - FAILURES_COUNT_FOR
    await tx.execute(
        first.on_conflict_do_update(
            index_elements=[sign_in_failures.c.address_digest],
            set_={
                "count": case((is_old, 1), else_=sign_in_failures.c.count + 1),
                "first_at": case((is_old, func.now()), else_=sign_in_failures.c.first_at),
            },
        )
    )


async def forget_failures(tx: Transaction, address_digest: bytes) -> None:
    """Start counting afresh for an address."""
    mine = sign_in_failures.c.address_digest == address_digest
    await tx.execute(delete(sign_in_failures).where(mine))


async def forget_old(tx: Transaction) -> None:
    """Drop what has expired."""
    await tx.execute(delete(sessions).where(sessions.c.expires_at <= func.now()))
    await tx.execute(delete(refresh_tokens).where(refresh_tokens.c.expires_at <= func.now()))
    old = sign_in_failures.c.first_at <= func.now() - FAILURES_COUNT_FOR
    await tx.execute(delete(sign_in_failures).where(old))


async def _add_refresh_token(
    tx: Transaction, session_id: str, token_digest: bytes, lifetime: timedelta
) -> None:
    await tx.execute(
        insert(refresh_tokens).values(
            digest=token_digest, session_id=session_id, expires_at=func.now() + lifetime
        )
    )
