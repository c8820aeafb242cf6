"""Access tokens: Ed25519 JWTs (RFC 9068, RFC 8725) that `kit.auth.TokenVerifier` accepts."""

from datetime import datetime

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kit import auth
from kit.ids import new_id
from user_service.sealing import Seal
from user_service.signing_keys.domain import ACCESS_TOKEN_LIFETIME, SigningKey
from user_service.users.domain import User


def issue(seal: Seal, key: SigningKey, user: User, session_id: str, now: datetime) -> str:
    """A token that says who signed in, for the next 15 minutes."""
    claims = {
        "iss": auth.ISSUER,
        "aud": auth.AUDIENCE,
        "sub": user.id,
        "sid": session_id,
        "role": user.role.value,
        "organizer_id": user.organizer_id,
        "iat": int(now.timestamp()),
        "exp": int((now + ACCESS_TOKEN_LIFETIME).timestamp()),
        "jti": new_id("tok"),
    }
    private_key = Ed25519PrivateKey.from_private_bytes(seal.open(key.sealed_private_key, key.id))
    headers = {"typ": auth.TOKEN_TYPE, "kid": key.id}
    return jwt.encode(claims, private_key, algorithm=auth.ALGORITHM, headers=headers)


def issued_at(verified_token: str) -> int:
    """When a token was issued, in seconds since 1970. Verify it first: this does not."""
    claims = jwt.decode(verified_token, options={"verify_signature": False})
    return int(claims["iat"])
