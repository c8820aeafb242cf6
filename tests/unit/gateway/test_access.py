"""Who gets past the gateway: decided before any service is called."""

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.gateway.support import Signer, World, assert_problem, world

ROLES_ONLY = "/v1/users/me"
PUBLIC = "/v1/events"
ORDER = "/v1/orders/ord_1"


async def test_without_a_token_only_what_is_for_anyone_is_reached(gateway: World) -> None:
    assert (await gateway.client.get(PUBLIC)).status_code == 200
    answer = await gateway.client.get(ROLES_ONLY)
    assert_problem(answer, 401, "TOKEN_MISSING")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert_problem(await gateway.client.get(ORDER), 401, "TOKEN_MISSING")
    assert [call.method for call in gateway.services.calls] == ["ListEvents"]


async def test_a_role_opens_what_is_for_it_and_nothing_else(gateway: World) -> None:
    for role, status in (("ADMIN", 201), ("STAFF", 403), ("SUPERADMIN", 403)):
        answer = await gateway.client.post(
            "/v1/events", json={}, headers=gateway.signer.bearer(role)
        )
        assert answer.status_code == status
        if status == 403:
            assert_problem(answer, 403, "ROLE_NOT_ALLOWED")
    assert len(gateway.services.calls) == 1


def _altered(token: str) -> str:
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["role"] = "SUPERADMIN"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{header}.{forged}.{signature}"


def _bad_tokens(signer: Signer) -> dict[str, str]:
    claims = {"sub": "usr_1", "sid": "s", "role": "ADMIN", "iss": "tessera", "aud": "tessera"}
    claims |= {"iat": int(time.time()), "exp": int(time.time()) + 900}  # type: ignore[dict-item]  # seconds
    public = signer.key.public_key().public_bytes_raw()
    headers = {"kid": "k1", "typ": "at+jwt"}
    return {
        "unsigned": jwt.encode(claims, "", algorithm="none", headers=headers),
        "signed with the public key as a secret": jwt.encode(
            claims, public, algorithm="HS256", headers=headers
        ),
        "altered": _altered(signer.token()),
        "someone else's key": jwt.encode(
            claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=headers
        ),
        "an unknown key": signer.token(headers={"kid": "k9"}),
        "another type": signer.token(headers={"typ": "JWT"}),
        "another audience": signer.token(aud="elsewhere"),
        "another issuer": signer.token(iss="elsewhere"),
        "an unknown role": signer.token("EMPEROR"),
        "not a token": "abc",
        "empty parts": "..",
        "too long": "x" * 5000,
        "non-ASCII": "tök.en.x",
    }


@pytest.mark.parametrize("name", sorted(_bad_tokens(Signer())))
async def test_a_bad_token_is_401_even_where_none_is_needed(gateway: World, name: str) -> None:
    token = _bad_tokens(gateway.signer)[name].encode("latin-1")
    for path in (ROLES_ONLY, PUBLIC):
        answer = await gateway.client.get(path, headers={b"Authorization": b"Bearer " + token})
        assert_problem(answer, 401, "INVALID_TOKEN")
    assert not gateway.services.calls


async def test_an_expired_token_says_so(gateway: World) -> None:
    for path in (ROLES_ONLY, PUBLIC):
        headers = gateway.signer.bearer(exp=int(time.time()) - 1)
        assert_problem(await gateway.client.get(path, headers=headers), 401, "TOKEN_EXPIRED")


@pytest.mark.parametrize(
    "value", ["Basic dTpw", "Bearer", "Bearer ", "Bearer a b", "x", "\tBearer x"]
)
async def test_a_malformed_authorization_is_401(gateway: World, value: str) -> None:
    answer = await gateway.client.get(PUBLIC, headers={"Authorization": value})
    assert_problem(answer, 401, "INVALID_TOKEN")


async def test_the_schemes_name_has_no_case(gateway: World) -> None:
    headers = {"Authorization": f"bearer {gateway.signer.token()}"}
    assert (await gateway.client.get(ROLES_ONLY, headers=headers)).status_code == 200


async def test_an_orders_token_passes_where_it_can_be_of_use_and_nowhere_else(
    gateway: World,
) -> None:
    headers = {"Authorization": "Bearer ordtok_secret"}
    assert (await gateway.client.get(ORDER, headers=headers)).status_code == 200
    assert gateway.services.last.metadata["authorization"] == "Bearer ordtok_secret"
    for path in (ROLES_ONLY, PUBLIC):
        assert_problem(await gateway.client.get(path, headers=headers), 401, "INVALID_TOKEN")
    assert len(gateway.services.calls) == 1


async def test_keys_are_fetched_once_for_many_requests() -> None:
    async with world() as gateway:
        for _ in range(5):
            await gateway.client.get(ROLES_ONLY, headers=gateway.signer.bearer())
        assert gateway.signer.fetches == 1


async def test_access_is_decided_before_the_input_is_looked_at(gateway: World) -> None:
    answer = await gateway.client.post("/v1/events", json={"colour": "red"})
    assert_problem(answer, 401, "TOKEN_MISSING")
