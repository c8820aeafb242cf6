"""Who asks, and whether they may: checked before the service is called, which checks it again."""

from tessera.access.v1 import access_pb2

from kit import auth
from kit.auth import Caller, TokenVerifier

_MAX_LENGTH = 4096


async def authorize(access: access_pb2.Access, authorization: str, verifier: TokenVerifier) -> None:
    """Let a request pass whose Authorization header satisfies the RPC's access rule.

    Only the service that issued an order's token knows it: it passes wherever one can be of use.
    A user's token must be valid even where none is needed, or an expired one would quietly show
    less.

    Raises:
        InvalidToken, TokenExpired, TokenMissing: 401.
        RoleNotAllowed: 403.
    """
    # What gRPC metadata cannot carry is no token.
    is_text = authorization.isascii() and authorization.isprintable()
    if not is_text or len(authorization) > _MAX_LENGTH:
        raise auth.InvalidToken
    token = auth.bearer(authorization)
    if token.startswith(auth.ORDER_TOKEN_PREFIX):
        if not access.order_token:
            raise auth.InvalidToken(auth.WRONG_ORDER_TOKEN)
        return
    user = await verifier.verify(token) if token else None
    auth.check(access, Caller(auth.GATEWAY, user), order_id="")
