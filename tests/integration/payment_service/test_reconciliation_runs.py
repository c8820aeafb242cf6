"""Who may ask for a reconciliation, and who runs it when."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from tessera.payment.v1 import reconciliation_service_pb2

from kit.clock import now, to_timestamp
from kit.database import signal
from kit.ids import new_id
from payment_service.payments.stripe_api import StripeProvider
from payment_service.reconciliation import store
from payment_service.reconciliation.operations import Reconciler
from tests.integration.payment_service.auditing import (
    RUNNING,
    Auditor,
    deaf,
    forget,
    paid,
    payment_of,
)
from tests.integration.payment_service.support import Shop, intent_id
from tests.integration.ticket_service.support import refused


async def hold_up(shop: Shop, seconds: int = 3600) -> str:
    """A reconciliation that somebody is at, and will be for a while."""
    key = new_id("rec")
    make = """
        INSERT INTO reconciliations (id, state, period_start, period_end, claimed_until)
        VALUES (:id, 'RUNNING', now() - interval '1 hour', now(),
                now() + make_interval(secs => :seconds))
    """
    await shop.installation.execute("payment", make, id=key, seconds=seconds)
    return key


async def take_up(shop: Shop, key: str) -> None:
    """Let whoever works on it be taken for dead now."""
    lapse = text("UPDATE reconciliations SET claimed_until = now() WHERE id = :id")
    async with shop.installation.hosts["payment_service"].database.begin() as tx:
        await tx.execute(lapse, {"id": key})
        signal(tx, store.DUE)


async def test_one_runs_at_a_time_and_if_its_replica_dies_another_goes_on(auditor: Auditor) -> None:
    shop = auditor.shop
    order = await paid(shop)
    key = await hold_up(shop)
    add = """
        INSERT INTO reconciliation_findings (reconciliation_id, kind, subject, detail, is_healed)
        VALUES (:id, 'MISSING_FEE', 'healed', '', true), (:id, 'UNKNOWN_CHARGE', 'old', '', false)
    """
    await shop.installation.execute("payment", add, id=key)
    count = "UPDATE reconciliations SET healed = 1, reported = 1, examined = 7 WHERE id = :id"
    await shop.installation.execute("payment", count, id=key)
    request = reconciliation_service_pb2.CreateReconciliationRequest()
    rpc = shop.payments.reconciliations.CreateReconciliation
    with refused("RECONCILIATION_RUNNING"):
        await rpc(request, metadata=auditor.root)
    await take_up(shop, key)
    run = await auditor.finished(await auditor.get(key))
    # What was put right stays found; what was to be looked at is looked at again.
    subjects = {finding.subject for finding in run.findings}
    assert "healed" in subjects
    assert "old" not in subjects
    assert run.reported == len(run.findings) - run.healed
    assert intent_id(order) not in subjects


async def test_what_takes_too_long_is_given_up(auditor: Auditor) -> None:
    shop = auditor.shop
    key = await hold_up(shop)
    age = "UPDATE reconciliations SET created_at = now() - interval '13 hours' WHERE id = :id"
    await shop.installation.execute("payment", age, id=key)
    await take_up(shop, key)
    run = await auditor.finished(await auditor.get(key))
    assert [(finding.kind, finding.subject) for finding in run.findings] == [("INCOMPLETE", key)]


async def test_it_goes_on_where_stripe_could_not_be_reached(auditor: Auditor) -> None:
    shop = auditor.shop
    await deaf(shop)
    order = await shop.ordered()
    await shop.pay(order)
    await shop.spoil("/v1/balance_transactions", action="error", times=3)
    await shop.spoil("/v1/payment_intents", method="GET", action="drop", times=3)
    assert await auditor.compare() == {intent_id(order): "healed MISSED_WEBHOOK"}
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert await auditor.compare() == {}


async def test_asking_twice_with_one_key_makes_one(auditor: Auditor) -> None:
    first = await auditor.start(idempotency_key="again")
    assert (await auditor.start(idempotency_key="again")).id == first.id
    await auditor.finished(first)


async def test_reconciliations_are_listed_newest_first(auditor: Auditor) -> None:
    shop = auditor.shop
    made = [await auditor.finished(await auditor.start()) for _ in range(3)]
    rpc = shop.payments.reconciliations.ListReconciliations
    found: list[str] = []
    token = ""
    while len(found) < 3:
        page = await rpc(
            reconciliation_service_pb2.ListReconciliationsRequest(page_size=2, page_token=token),
            metadata=auditor.root,
        )
        found += [run.id for run in page.reconciliations]
        assert not any(run.findings for run in page.reconciliations)
        token = page.next_page_token
    assert found[:3] == [run.id for run in made[::-1]]


@pytest.mark.parametrize(("start_h", "end_h"), [(0, -1), (-1, 1), (-24 * 93, 0)])
async def test_period_that_cannot_be_compared_is_refused(
    auditor: Auditor, start_h: int, end_h: int
) -> None:
    shop = auditor.shop
    moments = [to_timestamp(datetime.now(UTC) + timedelta(hours=h)) for h in (start_h, end_h)]
    request = reconciliation_service_pb2.CreateReconciliationRequest(
        period_start=moments[0], period_end=moments[1]
    )
    with refused("INVALID_PERIOD"):
        await shop.payments.reconciliations.CreateReconciliation(request, metadata=auditor.root)


async def test_only_superadmins_ask_and_only_for_what_there_is(auditor: Auditor) -> None:
    shop = auditor.shop
    request = reconciliation_service_pb2.CreateReconciliationRequest()
    with refused("ROLE_NOT_ALLOWED"):
        await shop.payments.reconciliations.CreateReconciliation(request, metadata=shop.admin)
    with refused("RECONCILIATION_NOT_FOUND"):
        await auditor.get("rec_nowhere")


async def test_replicas_have_each_night_compared_once(auditor: Auditor) -> None:
    shop = auditor.shop
    database = shop.installation.database("payment")
    provider = StripeProvider("sk", "pk", "whsec", shop.sandbox.url)
    replicas = [Reconciler(database, provider) for _ in range(4)]
    await shop.installation.execute("payment", "DELETE FROM reconciliations")
    await asyncio.gather(*(replica.schedule() for replica in replicas))
    await asyncio.gather(*(replica.schedule() for replica in replicas))
    find = "SELECT id, period_start, period_end FROM reconciliations"
    [row] = await shop.installation.execute("payment", find)
    assert (row.period_end.hour, row.period_end.minute) == (3, 0)
    assert row.period_end - row.period_start == timedelta(days=3)
    await take_up(shop, row.id)
    await auditor.finished(await auditor.get(row.id))
    await asyncio.gather(*(replica.schedule() for replica in replicas))
    assert len(await shop.installation.execute("payment", find)) == 1
    await provider.close()


async def test_what_is_ours_is_looked_through_in_parts(auditor: Auditor) -> None:
    """A replica that looks at two rows at a time finds what one finds that looks at many."""
    shop = auditor.shop
    sold = [await paid(shop) for _ in range(5)]
    lacking = [await payment_of(shop, order) for order in (sold[0], sold[4])]
    for payment_id in lacking:
        await forget(shop, f"charge:{payment_id}")
    swap = "UPDATE payments SET provider_id = :intent WHERE order_id = :id"
    await shop.installation.execute("payment", swap, id=sold[2].id, intent="pi_gone")
    database, key = shop.installation.database("payment"), new_id("rec")
    sandbox = shop.sandbox
    provider = StripeProvider(sandbox.keys.secret_key, "pk", "whsec", sandbox.url)
    thorough = Reconciler(database, provider, patience_s=0, scanned_at_once=2)
    async with database.begin() as tx:
        assert await store.insert(tx, key, now() - timedelta(days=1), now())
    run = await auditor.get(key)
    while run.state == RUNNING:
        await thorough.run_due()
        run = await auditor.get(key)
    found = {(finding.kind, finding.subject) for finding in run.findings} - auditor.known
    assert {each for each in found if each[0] != "BALANCE_MISMATCH"} == {
        *(("MISSING_CHARGE", payment_id) for payment_id in lacking),
        ("PAID_WITHOUT_CHARGE", "pi_gone"),
        ("UNKNOWN_CHARGE", intent_id(sold[2])),
    }
    await shop.installation.execute("payment", swap, id=sold[2].id, intent=intent_id(sold[2]))
    await provider.close()
