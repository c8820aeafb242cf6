"""Asking for one's orders, and getting them with the code from the mail."""

from collections.abc import Sequence
from datetime import datetime

from kit.database import Database
from kit.idempotency import Once
from kit.ids import new_id
from payment_service.lookups import domain, store
from payment_service.lookups.codes import LookupCodes
from payment_service.lookups.domain import LookupMail
from payment_service.orders.domain import Order

Lookup = tuple[str, datetime]  # its id, and until when its code is good


async def create_lookup(database: Database, email: str, once: Once[Lookup]) -> Lookup:
    """Have a code mailed to the address if it has orders. The answer, and the work, is the same."""
    email, lookup_id = domain.normal_email(email), new_id("lookup")
    async with database.begin() as tx:
        await once.claim(tx)
        await store.take_turn(tx, email)
        made_at = await store.insert_lookup(tx, lookup_id, email)
        await store.announce(tx, lookup_id, email)
        return await once.record(tx, (lookup_id, made_at + domain.LIFETIME))


async def redeem_lookup(
    database: Database, codes: LookupCodes, lookup_id: str, code: str, once: Once[Sequence[Order]]
) -> Sequence[Order]:
    """The orders of the address, for the code that was mailed there.

    Raises:
        WrongCode: it is not, or it was redeemed, tried five times, or is too old.
    """
    is_right = codes.is_code(lookup_id, code)
    async with database.begin() as tx:
        await once.claim(tx)
        email = await store.try_lookup(tx, lookup_id, is_right=is_right)
        if email is not None and is_right:
            found = await store.find_orders(tx, email, domain.MAX_ORDERS)
            return await once.record(tx, found)
    raise domain.WrongCode.of("code")  # after the commit: the try counts


async def get_mail(database: Database, lookup_id: str) -> LookupMail:
    """What the mail about a lookup needs.

    Raises:
        OrderLookupNotFound: there is none to be sent, or not any more.
    """
    async with database.begin() as tx:
        mail = await store.find_mail(tx, lookup_id)
    if mail is None:
        raise domain.OrderLookupNotFound
    return mail
