"""Signing in, staying signed in and signing out, over gRPC."""

import asyncio
from datetime import timedelta

from argon2 import PasswordHasher
from sqlalchemy import func, select, update
from tessera.access.v1 import access_pb2
from tessera.user.v1 import session_pb2

from kit import auth, clock
from kit.rpc_errors import RemoteError
from tests.integration.user_service.support import (
    PASSWORD,
    BackDoor,
    Person,
    any_email,
    any_key,
    refused,
    said_by,
)
from user_service.sessions import operations
from user_service.sessions.domain import FAILURES_ALLOWED, digest
from user_service.tables import refresh_tokens, sessions, sign_in_failures, users


async def fail_to_sign_in(visitor: Person, email: str, times: int) -> None:
    for _ in range(times):
        with refused("WRONG_CREDENTIALS"):
            await visitor.sign_in(email, "a wrong password")


async def test_who_signs_in_is_told_who_they_are(visitor: Person) -> None:
    user = await visitor.register()
    session = await visitor.sign_in(user.email)
    assert session.user == user
    assert session.token_type == "Bearer"
    assert session.expires_in == 900
    assert await visitor.with_token(session.access_token).me() == user


async def test_an_access_token_satisfies_the_kits_verifier(visitor: Person) -> None:
    user = await visitor.register()
    token = (await visitor.sign_in(user.email)).access_token
    claims = await auth.TokenVerifier(visitor.keys).verify(token)
    assert (claims.user_id, claims.organizer_id) == (user.id, user.organizer_id)
    assert claims.role == access_pb2.ROLE_ADMIN
    said = said_by(token)
    assert said["exp"] - said["iat"] == 900
    assert abs(said["iat"] - clock.now().timestamp()) < 60
    assert said["jti"].startswith("tok_")
    assert said["role"] == "ADMIN"


async def test_an_address_is_recognised_however_it_is_written(visitor: Person) -> None:
    user = await visitor.register()
    assert (await visitor.sign_in(f"  {user.email.upper()} ")).user == user


async def test_a_wrong_password_and_an_unknown_address_look_alike(visitor: Person) -> None:
    user = await visitor.register()
    with refused("WRONG_CREDENTIALS"):
        await visitor.sign_in(user.email, PASSWORD + "!")
    with refused("WRONG_CREDENTIALS"):
        await visitor.sign_in(any_email())
    with refused("WRONG_CREDENTIALS"):
        await visitor.sign_in("no address at all")


async def test_signing_in_again_with_one_key_is_the_same_session(visitor: Person) -> None:
    user, key = await visitor.register(), any_key()
    first = await visitor.sign_in(user.email, key=key)
    assert await visitor.sign_in(user.email, key=key) == first
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await visitor.sign_in(user.email, "another password", key=key)
    assert (await visitor.sign_in(user.email)).refresh_token != first.refresh_token


async def test_an_address_is_locked_after_too_many_failures(
    visitor: Person, back_door: BackDoor
) -> None:
    user = await visitor.register()
    await fail_to_sign_in(visitor, user.email, FAILURES_ALLOWED)
    with refused("TOO_MANY_SIGN_INS"):
        await visitor.sign_in(user.email)
    with refused("TOO_MANY_SIGN_INS"):
        await visitor.sign_in(user.email.upper())
    quarter_of_an_hour_ago = func.now() - timedelta(minutes=15)
    mine = sign_in_failures.c.address_digest == digest(user.email)
    await back_door.change(
        update(sign_in_failures).where(mine).values(first_at=quarter_of_an_hour_ago)
    )
    assert (await visitor.sign_in(user.email)).user == user


async def test_an_unknown_address_is_locked_like_any_other(visitor: Person) -> None:
    email = any_email()
    await fail_to_sign_in(visitor, email, FAILURES_ALLOWED)
    with refused("TOO_MANY_SIGN_INS"):
        await visitor.sign_in(email)


async def test_failures_long_ago_do_not_count(visitor: Person, back_door: BackDoor) -> None:
    user = await visitor.register()
    await fail_to_sign_in(visitor, user.email, FAILURES_ALLOWED - 1)
    mine = sign_in_failures.c.address_digest == digest(user.email)
    long_ago = func.now() - timedelta(hours=1)
    await back_door.change(update(sign_in_failures).where(mine).values(first_at=long_ago))
    await fail_to_sign_in(visitor, user.email, FAILURES_ALLOWED - 1)
    assert (await visitor.sign_in(user.email)).user == user


async def test_signing_in_makes_failures_forgotten(visitor: Person) -> None:
    user = await visitor.register()
    for _ in range(2):
        await fail_to_sign_in(visitor, user.email, FAILURES_ALLOWED - 1)
        await visitor.sign_in(user.email)


async def test_many_guesses_at_once_are_no_more_than_are_allowed(visitor: Person) -> None:
    user = await visitor.register()
    guesses = (visitor.sign_in(user.email, f"guess {number}") for number in range(25))
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    reasons = [answer.reason for answer in answers if isinstance(answer, RemoteError)]
    assert len(reasons) == 25
    assert reasons.count("WRONG_CREDENTIALS") == FAILURES_ALLOWED
    assert set(reasons) == {"WRONG_CREDENTIALS", "TOO_MANY_SIGN_INS"}


async def test_a_hash_with_former_parameters_is_renewed_at_sign_in(
    visitor: Person, back_door: BackDoor
) -> None:
    user = await visitor.register()
    former = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    mine = users.c.id == user.id
    await back_door.change(update(users).where(mine).values(password_hash=former))
    await visitor.sign_in(user.email)
    async with back_door.database.begin() as tx:
        renewed = (await tx.execute(select(users.c.password_hash).where(mine))).scalar_one()
    assert renewed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await visitor.sign_in(user.email)).user == user


async def test_a_refresh_token_is_exchanged_for_the_next(visitor: Person) -> None:
    user = await visitor.register()
    first = await visitor.sign_in(user.email)
    second = await visitor.refresh(first.refresh_token)
    third = await visitor.refresh(second.refresh_token)
    tokens = {first.refresh_token, second.refresh_token, third.refresh_token}
    assert len(tokens) == 3
    assert third.user == user
    assert said_by(third.access_token)["sid"] == said_by(first.access_token)["sid"]
    assert await visitor.with_token(third.access_token).me() == user


async def test_reuse_ends_the_session_for_everyone(visitor: Person) -> None:
    user = await visitor.register()
    stolen = await visitor.sign_in(user.email)
    elsewhere = await visitor.sign_in(user.email)
    latest = await visitor.refresh(stolen.refresh_token)
    with refused("INVALID_REFRESH_TOKEN"):
        await visitor.refresh(stolen.refresh_token)
    with refused("INVALID_REFRESH_TOKEN"):
        await visitor.refresh(latest.refresh_token)
    with refused("SESSION_ENDED"):
        await visitor.with_token(latest.access_token).me()
    assert (await visitor.refresh(elsewhere.refresh_token)).user == user


async def test_a_lost_answer_is_given_again_without_an_alarm(visitor: Person) -> None:
    user, key = await visitor.register(), any_key()
    session = await visitor.sign_in(user.email)
    second = await visitor.refresh(session.refresh_token, key=key)
    assert await visitor.refresh(session.refresh_token, key=key) == second
    third = await visitor.refresh(second.refresh_token, key=any_key())
    assert third.user == user
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await visitor.refresh(third.refresh_token, key=key)
    assert (await visitor.refresh(third.refresh_token)).user == user


async def test_concurrent_retries_with_one_key_keep_the_session(visitor: Person) -> None:
    user, key = await visitor.register(), any_key()
    session = await visitor.sign_in(user.email)
    answers = await asyncio.gather(
        *(visitor.refresh(session.refresh_token, key=key) for _ in range(8)),
        return_exceptions=True,
    )
    refusals = [answer.reason for answer in answers if isinstance(answer, RemoteError)]
    issued = [answer for answer in answers if isinstance(answer, session_pb2.Session)]
    assert set(refusals) <= {"IDEMPOTENCY_KEY_IN_USE"}
    assert len({session.refresh_token for session in issued}) == 1
    assert (await visitor.refresh(issued[0].refresh_token)).user == user


async def test_of_concurrent_exchanges_without_a_key_one_at_most_succeeds(
    visitor: Person,
) -> None:
    user = await visitor.register()
    session = await visitor.sign_in(user.email)
    answers = await asyncio.gather(
        *(visitor.refresh(session.refresh_token) for _ in range(5)), return_exceptions=True
    )
    issued = [answer for answer in answers if isinstance(answer, session_pb2.Session)]
    assert len(issued) == 1
    with refused("INVALID_REFRESH_TOKEN"):
        await visitor.refresh(issued[0].refresh_token)


async def test_a_refresh_token_expires(visitor: Person, back_door: BackDoor) -> None:
    user = await visitor.register()
    session = await visitor.sign_in(user.email)
    mine = refresh_tokens.c.digest == digest(session.refresh_token)
    await back_door.change(update(refresh_tokens).where(mine).values(expires_at=func.now()))
    with refused("INVALID_REFRESH_TOKEN"):
        await visitor.refresh(session.refresh_token)


async def test_a_made_up_refresh_token_is_refused(visitor: Person) -> None:
    with refused("INVALID_REFRESH_TOKEN"):
        await visitor.refresh("made up")


async def test_signing_out_ends_the_session_and_no_other(visitor: Person) -> None:
    user = await visitor.register()
    here, elsewhere = await visitor.sign_in(user.email), await visitor.sign_in(user.email)
    signed_in = visitor.with_token(here.access_token)
    await signed_in.sign_out()
    with refused("SESSION_ENDED"):
        await signed_in.me()
    with refused("INVALID_REFRESH_TOKEN"):
        await visitor.refresh(here.refresh_token)
    assert await visitor.with_token(elsewhere.access_token).me() == user


async def test_signing_out_twice_is_signing_out_once(admin: Person) -> None:
    await admin.sign_out()
    await admin.sign_out()


async def test_what_has_expired_is_forgotten_and_the_rest_is_kept(
    visitor: Person, back_door: BackDoor
) -> None:
    user = await visitor.register()
    old, new = await visitor.sign_in(user.email), await visitor.sign_in(user.email)
    old_session = said_by(old.access_token)["sid"]
    past = func.now() - timedelta(seconds=1)
    expired = update(sessions).where(sessions.c.id == old_session)
    await back_door.change(expired.values(expires_at=past))
    await operations.forget_old(back_door.database)
    async with back_door.database.begin() as tx:
        left = (
            select(refresh_tokens.c.session_id).join(sessions).where(sessions.c.user_id == user.id)
        )
        remaining = (await tx.execute(left)).scalars().all()
    assert remaining == [said_by(new.access_token)["sid"]]
    assert (await visitor.refresh(new.refresh_token)).user == user
