"""Whatever dies in the middle of a sale, the sale completes once it is back, or nobody is charged.

Processes die by SIGKILL, and are started again: services by the mesh, the mesh by us.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from deploy.local import smtp_sink
from deploy.local.environment import SERVICES
from kit.auth import GATEWAY
from tests.support import shop
from tests.support.mesh import LocalMesh, until
from tests.support.rabbitmq import skip_without_rabbitmq
from tests.support.rabbitmq_node import RabbitNode
from tests.support.shop import Json, Shop, assert_all_is_well, patiently

Disaster = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    pass


async def _sell(
    mesh: LocalMesh, event: Json, disaster: Disaster = _nothing, quantity: int = 1
) -> Json:
    """A sale by a patient customer, with a disaster between each two steps; the paid order."""
    items = [{"ticket_type_id": event["ticket_types"][0]["id"], "quantity": quantity}]
    key = {"Idempotency-Key": secrets.token_hex(8)}
    held = await patiently(mesh, "/v1/holds", {"event_id": event["id"], "items": items}, key)
    await disaster()
    customer = {"email": "grace@customer.example", "full_name": "Grace Guest"}
    body = {"hold_id": held["id"], "customer": customer}
    ordered = await patiently(mesh, "/v1/orders", body)
    await disaster()
    assert (await shop.pay(mesh, ordered)).status_code == 200
    await disaster()
    paid = await shop.order_in_state(mesh, ordered, "PAID")
    await disaster()
    return {**paid, "payment": ordered["payment"]}


async def _mail(mesh: LocalMesh, order: Json) -> EmailMessage:
    """The order's receipt, of which there is one."""

    async def look() -> list[EmailMessage]:
        return mesh.mails_about(order["code"])

    found = await until(look)
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
async def separate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    """A mesh of processes, which can die one by one."""
    made = LocalMesh(tmp_path_factory.mktemp("separate"), separate=True)
    await made.start()
    yield made
    await made.close()


@pytest.mark.parametrize("name", [*SERVICES, GATEWAY])
async def test_a_service_that_dies_between_the_steps_of_a_sale_loses_nothing(
    separate: LocalMesh, name: str
) -> None:
    await separate.ready()
    event = await (await Shop.open(separate)).event()

    async def kill() -> None:
        await separate.kill_service(name)

    await _mail(separate, await _sell(separate, event, kill))
    await separate.ready()
    await assert_all_is_well(separate)


async def test_payment_service_that_dies_while_stripe_is_at_work_charges_once(
    separate: LocalMesh,
) -> None:
    """Silence from Stripe, before or after it did what was asked, at both of its calls."""
    await separate.ready()
    event = await (await Shop.open(separate)).event()
    selling = []
    for call in ("/v1/payment_intents/*/capture", "/v1/payment_intents"):
        for when in ("before", "after"):
            silence = {"action": "hang", "when": when, "path": call, "seconds": 20}
            await separate.stripe.post("/_sandbox/faults", json={"method": "POST", **silence})
            selling.append(asyncio.create_task(_sell(separate, event)))
            await until(lambda: _all_strike(separate))
    await separate.kill_service("payment_service")
    for paid in await asyncio.gather(*selling):
        await _mail(separate, paid)
    await assert_all_is_well(separate)


async def _all_strike(mesh: LocalMesh) -> bool:
    """Whether every fault has found its call."""
    return not (await mesh.stripe.get("/_sandbox/faults")).json()["calls"]


async def test_everything_that_dies_between_the_steps_of_a_sale_comes_back_to_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    mesh = LocalMesh(tmp_path_factory.mktemp("plug"))
    try:
        await mesh.start()
        event = await (await Shop.open(mesh)).event()

        async def pull_the_plug() -> None:
            await mesh.kill()
            await mesh.start()

        await _mail(mesh, await _sell(mesh, event, pull_the_plug, quantity=2))
        await assert_all_is_well(mesh)
    finally:
        await mesh.close()


async def test_while_mail_cannot_be_sent_sales_go_on_and_each_receipt_follows_once(
    tmp_path: Path,
) -> None:
    sink = await smtp_sink.start(tmp_path / "mail")
    port = sink.port
    mesh = LocalMesh(tmp_path, settings={"TESSERA_SMTP_URL": sink.url})
    try:
        await mesh.start()
        event = await (await Shop.open(mesh)).event()
        await _mail(mesh, await _sell(mesh, event))
        await sink.stop()
        sold = [await _sell(mesh, event) for _ in range(3)]
        assert not any(mesh.mails_about(order["code"]) for order in sold)
        sink = await smtp_sink.start(tmp_path / "mail", port=port)
        sink.refuse(451, "Try again later")
        sold.append(await _sell(mesh, event))
        sink.accept()
        for order in sold:
            await _mail(mesh, order)
        await assert_all_is_well(mesh)
        assert len(mesh.mails()) == 5
    finally:
        await mesh.close()
        await sink.stop()


async def test_without_rabbitmq_sales_go_on_and_each_receipt_follows_once(tmp_path: Path) -> None:
    node = RabbitNode(tmp_path / "rabbitmq")
    with skip_without_rabbitmq():
        await node.start()
    mesh = LocalMesh(tmp_path / "mesh", settings={"TESSERA_AMQP_URL": node.url})
    try:
        await mesh.start()
        event = await (await Shop.open(mesh)).event()
        await _mail(mesh, await _sell(mesh, event))
        await node.settle()
        await node.kill()
        sold = [await _sell(mesh, event) for _ in range(3)]
        assert not any(mesh.mails_about(order["code"]) for order in sold)
        await node.start()
        for order in sold:
            await _mail(mesh, order)
        await assert_all_is_well(mesh)
        assert len(mesh.mails()) == 4
    finally:
        await mesh.close()
        await node.kill()
