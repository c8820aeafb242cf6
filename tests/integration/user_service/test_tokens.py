"""Access tokens: which are believed, and what introspection says of them."""

import base64
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.integration.user_service.support import (
    BackDoor,
    Person,
    claims_like,
    headers,
    refused,
    said_by,
    seconds_from_now,
)
from tests.support.services import TestMesh

Forge = Callable[[str, str, Ed25519PrivateKey], str]


def signed(typ: str = "at+jwt", **different: Any) -> Forge:
    """A token signed by the right key that says something else."""

    def forge(token: str, key_id: str, key: Ed25519PrivateKey) -> str:
        claims = claims_like(token, **different)
        return jwt.encode(claims, key, algorithm="EdDSA", headers=headers(key_id, typ))

    return forge


def altered(token: str, _key_id: str, _key: Ed25519PrivateKey) -> str:
    header, _, signature = token.split(".")
    claims = jwt.encode(claims_like(token, role="SUPERADMIN"), "", algorithm="none").split(".")[1]
    return f"{header}.{claims}.{signature}"


def unsigned(token: str, key_id: str, _key: Ed25519PrivateKey) -> str:
    return jwt.encode(said_by(token), "", algorithm="none", headers=headers(key_id))


def signed_with_the_public_key(token: str, key_id: str, key: Ed25519PrivateKey) -> str:
    public = key.public_key().public_bytes_raw()
    return jwt.encode(said_by(token), public, algorithm="HS256", headers=headers(key_id))


def signed_by_a_stranger(token: str, key_id: str, _key: Ed25519PrivateKey) -> str:
    stranger = Ed25519PrivateKey.generate()
    return jwt.encode(said_by(token), stranger, algorithm="EdDSA", headers=headers(key_id))


def signed_with_an_unknown_key(token: str, _key_id: str, key: Ed25519PrivateKey) -> str:
    return jwt.encode(said_by(token), key, algorithm="EdDSA", headers=headers("key_unknown"))


FORGERIES = {
    "expired": (signed(exp=seconds_from_now(-1), iat=seconds_from_now(-901)), "TOKEN_EXPIRED"),
    "altered": (altered, "INVALID_TOKEN"),
    "alg=none": (unsigned, "INVALID_TOKEN"),
    "HS256 with the public key": (signed_with_the_public_key, "INVALID_TOKEN"),
    "a stranger's signature": (signed_by_a_stranger, "INVALID_TOKEN"),
    "an unknown key": (signed_with_an_unknown_key, "INVALID_TOKEN"),
    "wrong audience": (signed(aud="someone else"), "INVALID_TOKEN"),
    "wrong issuer": (signed(iss="someone else"), "INVALID_TOKEN"),
    "wrong type": (signed(typ="JWT"), "INVALID_TOKEN"),
    "no session": (signed(sid=None), "INVALID_TOKEN"),
    "no subject": (signed(sub=None), "INVALID_TOKEN"),
    "an unknown role": (signed(role="EMPEROR"), "INVALID_TOKEN"),
    "not a token": (lambda *_: "not.a.token", "INVALID_TOKEN"),
}


@pytest.mark.parametrize(("forge", "reason"), FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_token_opens_nothing(
    admin: Person, root: Person, back_door: BackDoor, forge: Forge, reason: str
) -> None:
    forged = admin.with_token(forge(admin.token, *await back_door.private_key()))
    with refused(reason):
        await forged.me()
    with refused(reason):
        await forged.sign_out()
    with refused(reason):
        await forged.register()
    assert not (await root.introspect(forged.token)).active
    assert await admin.me()


async def test_a_token_from_a_clock_slightly_ahead_is_believed(
    admin: Person, back_door: BackDoor
) -> None:
    forge = signed(iat=seconds_from_now(30))
    ahead = admin.with_token(forge(admin.token, *await back_door.private_key()))
    assert await ahead.me() == await admin.me()


async def test_the_key_set_holds_public_keys_only(visitor: Person) -> None:
    (key,) = [key for key in await visitor.keys() if key["kid"]]
    assert set(key) == {"kty", "crv", "kid", "alg", "use", "x"}
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
    assert len(base64.urlsafe_b64decode(key["x"] + "=")) == 32


async def test_a_valid_token_is_active_and_says_what_it_says(admin: Person) -> None:
    said, told = said_by(admin.token), await admin.introspect(admin.token)
    assert told.active
    assert (told.sub, told.organizer_id) == (said["sub"], said["organizer_id"])
    assert (told.iss, told.aud) == (said["iss"], said["aud"])
    assert (told.iat, told.exp) == (said["iat"], said["exp"])
    assert (told.scope, told.token_type) == ("ADMIN", "Bearer")


async def test_an_admin_learns_of_their_own_organizers_tokens_only(
    admin: Person, staff: Person, root: Person, visitor: Person
) -> None:
    stranger = (await visitor.sign_in((await visitor.register()).email)).access_token
    assert (await admin.introspect(staff.token)).active
    for hidden in (stranger, root.token):
        told = await admin.introspect(hidden)
        assert told == type(told)(active=False)
    assert (await root.introspect(stranger)).active


async def test_a_service_learns_of_every_token(mesh: TestMesh, admin: Person) -> None:
    for service in ("ticket_service", "payment_service", "notification_service"):
        assert (await Person(mesh, via=service).introspect(admin.token)).active


async def test_staff_and_visitors_may_not_introspect(staff: Person, visitor: Person) -> None:
    with refused("ROLE_NOT_ALLOWED"):
        await staff.introspect(staff.token)
    with refused("TOKEN_MISSING"):
        await visitor.introspect(staff.token)


async def test_a_token_is_inactive_once_its_session_has_ended(staff: Person, root: Person) -> None:
    assert (await root.introspect(staff.token)).active
    await staff.sign_out()
    assert not (await root.introspect(staff.token)).active


async def test_who_has_signed_out_learns_nothing(admin: Person, staff: Person) -> None:
    await admin.sign_out()
    with refused("SESSION_ENDED"):
        await admin.introspect(staff.token)
