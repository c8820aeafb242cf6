"""Making, changing, lifting and finding quotas."""

from collections.abc import Mapping, Sequence
from typing import Any

from kit.auth import Caller
from kit.database import Database, Transaction
from kit.errors import check_version
from kit.idempotency import Once
from kit.ids import new_id
from ticket_service.catalog import domain as catalog
from ticket_service.catalog import store as catalog_store
from ticket_service.catalog.domain import TicketType
from ticket_service.quotas import domain, store
from ticket_service.quotas.domain import Quota
from ticket_service.waitlist.offers import Offers


async def create_quota(
    database: Database,
    organizer_id: str,
    event_id: str,
    values: Mapping[str, Any],
    ticket_type_ids: Sequence[str],
    once: Once[Quota],
) -> Quota:
    """Limit some ticket types together, of which tickets may be sold already."""
    async with database.begin() as tx:
        await once.claim(tx)
        ticket_types, quotas = await _lock(tx, organizer_id, event_id)
        if len(quotas) >= domain.MAX_QUOTAS:
            raise domain.TooManyQuotas
        left = domain.remaining(values["size"], ticket_type_ids, ticket_types)
        row = {"id": new_id("quota"), "event_id": event_id, "remaining": left, **values}
        await store.insert_quota(tx, row, ticket_type_ids)
        return await once.record(tx, _pick(await store.list_quotas(tx, event_id), row["id"]))


async def list_quotas(database: Database, caller: Caller, event_id: str) -> list[Quota]:
    """An event's quotas, oldest first.

    Raises:
        EventNotFound: there is no such event, or it is somebody else's.
    """
    async with database.begin() as tx:
        event = await catalog_store.get_event(tx, event_id)
        if event is None or not caller.works_for(event.organizer_id):
            raise catalog.EventNotFound
        return await store.list_quotas(tx, event_id)


async def get_quota(database: Database, caller: Caller, event_id: str, quota_id: str) -> Quota:
    """One quota of an event."""
    return _pick(await list_quotas(database, caller, event_id), quota_id)


async def update_quota(
    database: Database,
    offers: Offers,
    organizer_id: str,
    event_id: str,
    quota_id: str,
    if_match: str,
    changes: Mapping[str, Any],
) -> Quota:
    """Change some fields of a quota, also while its ticket types are on sale.

    What the change puts on sale is offered to those who wait for it.
    """
    async with database.begin() as tx:
        ticket_types, quotas = await _lock(tx, organizer_id, event_id)
        quota = _pick(quotas, quota_id)
        check_version(if_match, quota.version)
        await store.update_quota(tx, domain.change(quota, changes, ticket_types))
        # Those that it did not limit before cannot have more than before.
        await offers.offer(tx, quota.ticket_type_ids)
        return _pick(await store.list_quotas(tx, event_id), quota_id)


async def delete_quota(
    database: Database,
    offers: Offers,
    organizer_id: str,
    event_id: str,
    quota_id: str,
    if_match: str,
) -> None:
    """Lift a limit; what that puts on sale is offered to those who wait for it."""
    async with database.begin() as tx:
        _, quotas = await _lock(tx, organizer_id, event_id)
        quota = _pick(quotas, quota_id)
        check_version(if_match, quota.version)
        await store.delete_quota(tx, quota_id)
        await offers.offer(tx, quota.ticket_type_ids)


async def _lock(
    tx: Transaction, organizer_id: str, event_id: str
) -> tuple[list[TicketType], list[Quota]]:
    """The event's ticket types and quotas, which nobody draws on before the transaction ends."""
    event = await catalog_store.lock_event(tx, event_id)
    if event is None or event.organizer_id != organizer_id:
        raise catalog.EventNotFound
    catalog.check_changeable(event)
    ticket_types = await catalog_store.lock_ticket_types(tx, event_id)
    return ticket_types, await store.lock_quotas(tx, event_id)


def _pick(quotas: Sequence[Quota], quota_id: str) -> Quota:
    for quota in quotas:
        if quota.id == quota_id:
            return quota
    raise domain.QuotaNotFound
