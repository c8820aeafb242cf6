"""What can be done with sessions: the only place where their transactions begin."""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from kit import auth, clock, idempotency, telemetry
from kit.database import Database, Transaction
from kit.errors import Unauthenticated
from kit.idempotency import Once
from kit.ids import new_id
from user_service.passwords import Passwords
from user_service.sealing import Seal
from user_service.sessions import access_tokens, domain, store
from user_service.sessions.domain import (
    InvalidRefreshToken,
    TooManySignIns,
    Verdict,
    WrongCredentials,
)
from user_service.signing_keys import store as signing_keys
from user_service.users import store as users
from user_service.users.domain import User, UserState, email_key


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client keeps of its session."""

    access_token: str
    refresh_token: str
    user: User


@dataclass(frozen=True, slots=True)
class Introspection:
    """What a valid access token says."""

    claims: auth.Claims
    issued_at: int  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Issuer:
    """What issuing tokens takes."""

    seal: Seal
    refresh_lifetime: timedelta


async def sign_in(
    database: Database,
    passwords: Passwords,
    issuer: Issuer,
    once: Once[Tokens],
    *,
    email: str,
    password: str,
) -> Tokens:
    """Begin a session.

    The password is checked between two transactions. Failures are looked up in both: else who
    sends many guesses at once has more of them than are allowed.

    Raises:
        WrongCredentials: no active user has this address and password; counted and kept.
        TooManySignIns: there were too many failures lately, or too many wait right now.
    """
    address = domain.digest(email_key(email))
    async with database.begin() as tx:
        await once.claim(tx)
        await _refuse_locked(tx, address)
        user_id, stored_hash = await users.find_password_hash(tx, email) or ("", None)
    is_right = await passwords.verify(stored_hash, password)
    new_hash = await passwords.rehash(stored_hash, password) if is_right and stored_hash else None
    async with database.begin() as tx:
        await once.claim(tx)
        await store.lock_address(tx, address)
        await _refuse_locked(tx, address)
        user = await users.lock_user(tx, user_id) if is_right else None
        if user and user.state is UserState.ACTIVE:
            await store.forget_failures(tx, address)
            if new_hash and stored_hash:
                await users.replace_password_hash(tx, user_id, stored_hash, new_hash)
            return await once.record(tx, await _begin_session(tx, issuer, user))
        await store.add_failure(tx, address)
    raise WrongCredentials


async def refresh(
    database: Database, issuer: Issuer, once: Once[Tokens], refresh_token: str
) -> Tokens:
    """Exchange a refresh token for the next one.

    A client that lost the answer asks again with the same Idempotency-Key, and gets it.

    Raises:
        InvalidRefreshToken: there is none like it, it has expired, or it was used before; in
            that last case the session has ended.
    """
    old = domain.digest(refresh_token)
    async with database.begin() as tx:
        await once.claim(tx)
        owner = await store.find_owner(tx, old)
        if owner is None:
            raise InvalidRefreshToken
        user = await users.lock_user(tx, owner)
        token = await store.find_refresh_token(tx, old)
        verdict = domain.judge(token)
        if token and verdict is Verdict.GOES_ON:
            return await once.record(tx, await _go_on(tx, issuer, user, token.session_id, old))
        if token and verdict is Verdict.ENDS:
            await store.end_session(tx, token.session_id)
            telemetry.log.warning("refresh token reused", user=user.id, session=token.session_id)
    raise InvalidRefreshToken


async def sign_out(database: Database, claims: auth.Claims) -> None:
    """End a session; ending it twice is the same as once.

    Its access token stays valid for other services until it expires: they verify by signature
    alone. This service and introspection know at once.
    """
    async with database.begin() as tx:
        await users.lock_user(tx, claims.user_id)
        await store.end_session(tx, claims.session_id)


async def introspect(
    database: Database, verifier: auth.TokenVerifier, caller: auth.Caller, token: str
) -> Introspection | None:
    """What a token says, if it is valid now and the caller may know.

    A token is valid while its session goes on; a disabled user's sessions have ended. None for
    all others, without a reason (RFC 7662, 2.2).

    Raises:
        SessionEnded: the caller's own session has ended.
    """
    try:
        claims = await verifier.verify(token)
    except Unauthenticated:
        claims = None
    async with database.begin() as tx:
        if caller.user:
            await store.require_live(tx, caller.user.session_id)
        if claims is None or not caller.works_for(claims.organizer_id):
            return None
        if not await store.is_live(tx, claims.session_id):
            return None
    return Introspection(claims, access_tokens.issued_at(token))


async def forget_old(database: Database) -> None:
    """Drop what nobody may ask for any more: answers kept, tokens and failures."""
    async with database.begin() as tx:
        await store.forget_old(tx)
        await idempotency.forget_old(tx)


async def _begin_session(tx: Transaction, issuer: Issuer, user: User) -> Tokens:
    session_id, refresh_token = new_id("ses"), _new_refresh_token()
    digest = domain.digest(refresh_token)
    await store.add_session(tx, session_id, user.id, digest, issuer.refresh_lifetime)
    return await _tokens(tx, issuer, user, session_id, refresh_token)


async def _go_on(
    tx: Transaction, issuer: Issuer, user: User, session_id: str, old: bytes
) -> Tokens:
    refresh_token = _new_refresh_token()
    new = domain.digest(refresh_token)
    await store.replace_refresh_token(tx, session_id, old, new, issuer.refresh_lifetime)
    return await _tokens(tx, issuer, user, session_id, refresh_token)


async def _tokens(
    tx: Transaction, issuer: Issuer, user: User, session_id: str, refresh_token: str
) -> Tokens:
    key = await signing_keys.read_current(tx)
    access_token = access_tokens.issue(issuer.seal, key, user, session_id, clock.now())
    return Tokens(access_token, refresh_token, user)


async def _refuse_locked(tx: Transaction, address: bytes) -> None:
    if domain.is_locked(await store.count_failures(tx, address)):
        raise TooManySignIns


def _new_refresh_token() -> str:
    return secrets.token_urlsafe(32)
