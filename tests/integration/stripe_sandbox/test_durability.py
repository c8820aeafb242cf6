"""Killing the process loses no money."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import stripe

from deploy.local.environment import free_port
from deploy.local.stripe_sandbox import build_app, load_keys
from tests.integration.stripe_sandbox.support import (
    Sandbox,
    Shop,
    running,
    served,
    settings,
    until_listening,
)

PROJECT = Path(__file__).parents[3]


@contextlib.asynccontextmanager
async def process(
    data_dir: Path, transport: stripe.HTTPXClient, webhook_url: str
) -> AsyncIterator[tuple[Sandbox, asyncio.subprocess.Process]]:
    port = free_port()
    arguments = ["--port", str(port), "--data-dir", str(data_dir), "--webhook-url", webhook_url]
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.local.stripe_sandbox",
        *arguments,
        cwd=PROJECT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await until_listening(port)
        async with httpx.AsyncClient(trust_env=False) as http:
            keys = load_keys(settings(data_dir))
            yield Sandbox(f"http://127.0.0.1:{port}", keys, http, transport), child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
        await child.wait()


async def test_killed_sandbox_comes_back_with_everything(
    tmp_path: Path, transport: stripe.HTTPXClient
) -> None:
    shop = Shop(free_port(), load_keys(settings(tmp_path)).webhook_secret)
    async with process(tmp_path, transport, shop.url) as (sandbox, child):
        held = await sandbox.authorized()
        paid = await sandbox.paid()
        refund = await sandbox.stripe.v1.refunds.create_async(
            {"payment_intent": paid.id, "amount": 100}, {"idempotency_key": "refund-1"}
        )
        events = await sandbox.event_types()
        child.kill()
        await child.wait()

    async with (
        served(shop.app(), shop.port),
        running(settings(tmp_path, shop.url), transport) as sandbox,
    ):
        await shop.until(lambda: len(shop.events) == len(events))
        assert sorted(shop.types) == sorted(events)
        replayed = await sandbox.stripe.v1.refunds.create_async(
            {"payment_intent": paid.id, "amount": 100}, {"idempotency_key": "refund-1"}
        )
        assert replayed.id == refund.id
        assert (await sandbox.reload(held)).status == "requires_capture"
        captured = await sandbox.stripe.v1.payment_intents.capture_async(held.id)
        assert captured.status == "succeeded"


async def test_held_webhooks_go_out_after_a_restart(
    tmp_path: Path, transport: stripe.HTTPXClient, shop: Shop
) -> None:
    async with running(settings(tmp_path, shop.url), transport) as sandbox:
        await sandbox.ask("/webhooks/faults", action="hold")
        await sandbox.intent()
    async with running(settings(tmp_path, shop.url), transport):
        await shop.received("payment_intent.created")


async def test_slow_things_finish_after_a_restart(
    tmp_path: Path, transport: stripe.HTTPXClient
) -> None:
    async with running(settings(tmp_path), transport) as sandbox:
        intent = await sandbox.paid("pm_sepa_debit")
    async with running(settings(tmp_path), transport) as sandbox:
        await sandbox.ask("/settle")
        assert (await sandbox.reload(intent)).status == "succeeded"


async def test_process_stops_when_told_to(tmp_path: Path, transport: stripe.HTTPXClient) -> None:
    async with process(tmp_path, transport, "http://127.0.0.1:1/") as (sandbox, child):
        await sandbox.intent()
        child.terminate()
        assert await asyncio.wait_for(child.wait(), 20) == 0


async def test_keys_stay_the_same_and_are_private(tmp_path: Path) -> None:
    first = load_keys(settings(tmp_path))
    assert load_keys(settings(tmp_path)) == first
    assert first.secret_key.startswith("sk_test_")
    assert first.publishable_key.startswith("pk_test_")
    assert first.webhook_secret.startswith("whsec_")
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0


async def test_second_sandbox_cannot_have_the_same_folder(
    tmp_path: Path, transport: stripe.HTTPXClient
) -> None:
    async with running(settings(tmp_path), transport):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            build_app(settings(tmp_path))
