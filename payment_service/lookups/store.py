"""Every SQL statement about order lookups.

They are the same whether or not an address has orders, and so is what they write, but for the
message about a mail.
"""

from datetime import datetime, timedelta

from sqlalchemy import case, delete, exists, func, insert, literal, select, update
from tessera.payment.v1 import messages_pb2

from kit import outbox
from kit.database import Transaction
from payment_service.lookups.domain import (
    LIFETIME,
    MAX_AN_HOUR,
    MAX_TRIES,
    MAX_TRIES_A_DAY,
    LookupMail,
)
from payment_service.orders.domain import Order, OrderState
from payment_service.orders.store import COLUMNS, order_of
from payment_service.tables import order_lookups, orders

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

_lookups = order_lookups.c
# One that is over its address' limit never had any time.
_is_alive = _lookups.expires_at > _lookups.created_at


async def take_turn(tx: Transaction, email: str) -> None:
    """Let nobody else count the lookups of this address before the transaction ends."""
    turn = func.hashtextextended(f"order lookups of {email}", 0)
    await tx.execute(select(func.pg_advisory_xact_lock(turn)))


async def insert_lookup(tx: Transaction, lookup_id: str, email: str) -> datetime:
    """A new lookup, dead if the address has had its share; answers when it was made."""
    of_address = _lookups.email == email
    in_hour = select(func.count()).where(of_address, _is_alive, _lookups.created_at > _ago(HOUR))
    tries = select(func.coalesce(func.sum(_lookups.tries), 0)).where(
        of_address, _lookups.created_at > _ago(DAY)
    )
    has_share = (in_hour.scalar_subquery() < MAX_AN_HOUR) & (
        tries.scalar_subquery() < MAX_TRIES_A_DAY
    )
    lifetime = case((has_share, LIFETIME), else_=timedelta())
    values = select(literal(lookup_id), literal(email), func.now() + lifetime)
    made = insert(order_lookups).from_select(["id", "email", "expires_at"], values)
    made_at: datetime = (await tx.execute(made.returning(_lookups.created_at))).scalar_one()
    return made_at


async def announce(tx: Transaction, lookup_id: str, email: str) -> None:
    """Have the code mailed, if the address has orders and the lookup is good for anything."""
    has_orders = exists().where(func.lower(orders.c.customer_email) == email)
    is_alive = exists().where(_lookups.id == lookup_id, _is_alive)
    message = messages_pb2.OrderLookupRequested(lookup_id=lookup_id)
    await outbox.add_if(tx, message, has_orders & is_alive)


async def find_mail(tx: Transaction, lookup_id: str) -> LookupMail | None:
    """What the mail about a lookup needs, as long as its code is good."""
    newest = (
        select(orders.c.customer_email)
        .where(func.lower(orders.c.customer_email) == _lookups.email)
        .order_by(orders.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(_lookups.id, newest, _lookups.expires_at).where(
        _lookups.id == lookup_id, _lookups.expires_at > func.now(), _lookups.redeemed_at.is_(None)
    )
    row = (await tx.execute(query)).first()
    return LookupMail(*row) if row and row[1] else None


async def try_lookup(tx: Transaction, lookup_id: str, *, is_right: bool) -> str | None:
    """Count a try, which redeems the lookup if the code is right; answers whose orders it is about.

    None: it is unknown, too old, redeemed or tried too often, and this try counts for nothing.
    """
    values = {"tries": _lookups.tries + 1}
    tried = (
        update(order_lookups)
        .where(
            _lookups.id == lookup_id,
            _lookups.tries < MAX_TRIES,
            _lookups.redeemed_at.is_(None),
            _lookups.expires_at > func.now(),
        )
        .values(values | ({"redeemed_at": func.now()} if is_right else {}))
        .returning(_lookups.email)
    )
    email: str | None = (await tx.execute(tried)).scalar_one_or_none()
    return email


async def find_orders(tx: Transaction, email: str, limit: int) -> list[Order]:
    """The orders of an address that matter most, and of those that do equally the newest.

    Anybody may order for any address, so what costs a stranger nothing comes after what does: free
    orders after charged ones, and what was cancelled (the money went back) after what was not.
    Only who leaves their money here could push tickets that cost something out of the limit.
    """
    was_paid = orders.c.paid_at.is_not(None)
    query = (
        select(*COLUMNS)
        .where(func.lower(orders.c.customer_email) == email)
        .order_by(
            (was_paid & (orders.c.total_minor > 0)).desc(),
            (orders.c.state == OrderState.PAID).desc(),
            was_paid.desc(),
            (orders.c.state == OrderState.PENDING).desc(),
            orders.c.id.desc(),
        )
        .limit(limit)
    )
    return [order_of(row) for row in await tx.execute(query)]


async def forget_old(tx: Transaction) -> None:
    """Drop the lookups that count for nothing any more."""
    await tx.execute(delete(order_lookups).where(_lookups.created_at < _ago(DAY)))


def _ago(time: timedelta) -> object:
    return func.now() - time
