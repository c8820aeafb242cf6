"""`make run` as a person meets it: what it says, and how it starts, refuses and ends."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import psutil
import pytest

from deploy.local.environment import complete, free_port
from deploy.local.mesh import check
from kit.service import ROOT
from kit.settings import InvalidSetting
from tests.support import shop
from tests.support.mesh import LocalMesh, until
from tests.support.shop import Json, Shop, refused, sign_in

TIMEOUT_S = 60
SENTENCE = "Tessera cannot start: "


async def _run(module: str, settings: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run a program to its end; answers its exit status and everything it said."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=ROOT,
        env={**own, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(TIMEOUT_S):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def _ports() -> dict[str, str]:
    return {
        "TESSERA_HTTP_PORT": str(free_port()),
        "TESSERA_STRIPE_SANDBOX_PORT": str(free_port()),
        "TESSERA_DURABLE": "no",
    }


async def _refusal(data_dir: Path, settings: Mapping[str, str], *arguments: str) -> str:
    """What it says when it does not start: one sentence of its own, and never a trace."""
    given = {"TESSERA_DATA_DIR": str(data_dir), **_ports(), **settings}
    status, output = await _run("deploy.local", given, *arguments)
    assert status == 1, output
    assert output.startswith(SENTENCE), output
    assert output.count("\n") == 1, output
    return output.removeprefix(SENTENCE).strip()


@pytest.fixture(scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    """A mesh without RabbitMQ, as `make run` starts it when nothing is set."""
    made = LocalMesh(tmp_path_factory.mktemp("alone"))
    await made.start()
    yield made
    await made.close()


async def test_it_says_where_everything_is(alone: LocalMesh) -> None:
    secrets = alone.secrets()
    for told in (
        "Tessera is ready. Ctrl-C stops it; the data stays.",
        f"{alone.url}/v1",
        f"{alone.url}/docs",
        f"{str(alone.stripe.base_url).rstrip('/')} (sandbox)",
        "sk_test_",
        "pk_test_",
        f"{alone.data_dir}/mail (Maildir)",
        "in the database",
        "admin@tessera.example",
        secrets["superadmin_password"],
        str(alone.data_dir / "tessera.log"),
    ):
        assert told in alone.output
    assert alone.output.count("\n") < 25
    headers = await sign_in(alone, "admin@tessera.example", secrets["superadmin_password"])
    me = await alone.http.get("/v1/users/me", headers=headers)
    assert me.json()["role"] == "SUPERADMIN"
    assert (await alone.http.get("/readyz")).is_success
    assert (await alone.http.get("/docs")).headers["content-type"].startswith("text/html")


async def test_secrets_are_for_the_owner_only(alone: LocalMesh) -> None:
    for name in ("secrets.json", "stripe/keys.json", "tls/ca-key.pem"):
        assert (alone.data_dir / name).stat().st_mode & 0o077 == 0, name


async def test_the_demo_plays_a_sale(alone: LocalMesh) -> None:
    settings = {
        "TESSERA_DATA_DIR": str(alone.data_dir),
        "TESSERA_HTTP_PORT": alone.url.rpartition(":")[2],
    }
    status, output = await _run("deploy.local.demo", settings)
    assert status == 0, output
    for told in (
        "is PAID",
        "Subject: ",
        ".pdf",
        "ACCEPTED",
        "ALREADY_ADMITTED",
        "50.00 EUR",
    ):
        assert told in output, output


async def test_the_demo_says_when_nothing_runs(tmp_path: Path) -> None:
    port = str(free_port())
    status, output = await _run("deploy.local.demo", {"TESSERA_HTTP_PORT": port})
    assert status == 1
    assert f"Nothing answers on port {port}" in output.splitlines()[-1]
    assert "Traceback" not in output


async def test_a_second_one_in_the_same_folder_is_refused(alone: LocalMesh) -> None:
    said = await _refusal(alone.data_dir, {})
    assert said.startswith("Another Tessera (process ")
    assert str(alone.data_dir) in said
    assert (await alone.http.get("/readyz")).is_success


@pytest.mark.parametrize("setting", ["TESSERA_HTTP_PORT", "TESSERA_STRIPE_SANDBOX_PORT"])
async def test_a_port_in_use_is_named(tmp_path: Path, setting: str) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        said = await _refusal(tmp_path, {setting: str(port)})
    assert f"Port {port} cannot be used" in said
    assert setting in said


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("TESSERA_HTTP_PORT", "abc"),
        ("TESSERA_HTTP_PORT", "0"),
        ("TESSERA_HTTP_PORT", "65536"),
        ("TESSERA_STRIPE_SANDBOX_PORT", "x"),
        ("TESSERA_STRIPE_SANDBOX_PORT", "8080"),  # the gateway's
        ("TESSERA_STRIPE_SECRET_KEY", "sk_test_alone"),  # then the other two as well
        ("TESSERA_DATABASE_URL", "mysql://root@127.0.0.1/tessera"),
        ("TESSERA_DATABASE_URL", "nonsense"),
        ("TESSERA_AMQP_URL", "nonsense"),
        ("TESSERA_AMQP_URL", "http://127.0.0.1"),
        ("TESSERA_SMTP_URL", "nonsense"),
        ("TESSERA_MAIL_FROM", "nobody"),
        ("TESSERA_SECRET_KEY", "short"),
        ("TESSERA_SUPERADMIN_PASSWORD", "short"),
        ("TESSERA_HOLD_SECONDS", "-1"),
        ("TESSERA_CALL_TIMEOUT_SECONDS", "soon"),
        ("TESSERA_TLS_DIR", "/nowhere"),
    ],
)
def test_a_broken_setting_is_named_before_anything_starts(
    broken_dir: Path, setting: str, value: str
) -> None:
    given = {"TESSERA_DATA_DIR": str(broken_dir), setting: value}
    with pytest.raises(InvalidSetting) as refusal:
        check(complete(given))
    assert setting.removesuffix("_SECRET_KEY").removesuffix("_PASSWORD") in str(refusal.value)


@pytest.fixture(scope="module")
def broken_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for all broken settings: its certificates take a moment."""
    return tmp_path_factory.mktemp("broken")


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("TESSERA_HTTP_PORT", "abc", "TESSERA_HTTP_PORT is 'abc'"),
        ("TESSERA_HTTP_HOST", "no.such.host.invalid", "TESSERA_HTTP_HOST"),
        ("TESSERA_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/tessera", "127.0.0.1:1"),
    ],
)
async def test_a_broken_setting_is_one_sentence(
    broken_dir: Path, setting: str, value: str, told: str
) -> None:
    said = await _refusal(broken_dir, {setting: value})
    assert told in said
    assert "hunter2" not in said


async def test_separate_processes_that_cannot_start_say_why(broken_dir: Path) -> None:
    unreachable = {"TESSERA_DATABASE_URL": "postgresql://127.0.0.1:1/tessera"}
    assert "127.0.0.1:1" in await _refusal(broken_dir, unreachable, "--separate")


async def test_a_data_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = await _refusal(tmp_path / "file" / "below", {})
    assert str(tmp_path / "file" / "below") in said
    assert "TESSERA_DATA_DIR" in said


async def test_damaged_secrets_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{")
    assert "secrets.json is damaged" in await _refusal(tmp_path, {})


async def test_what_is_set_replaces_what_is_embedded(tmp_path: Path, postgres_url: str) -> None:
    settings = {
        "TESSERA_DATABASE_URL": postgres_url,
        "TESSERA_AMQP_URL": "amqp://guest:guest@127.0.0.1:1/",
        "TESSERA_SMTP_URL": "smtp://127.0.0.1:1",
        "TESSERA_STRIPE_SECRET_KEY": "sk_test_mine",
        "TESSERA_STRIPE_PUBLISHABLE_KEY": "pk_test_mine",
        "TESSERA_STRIPE_WEBHOOK_SECRET": "whsec_mine",
        "TESSERA_STRIPE_API_BASE": "http://127.0.0.1:1",
    }
    mesh = LocalMesh(tmp_path, settings=settings)
    try:
        await mesh.start()
        for absent in ("sandbox", "Maildir", "embedded", "sk_test_mine"):
            assert absent not in mesh.output
        for absent in ("stripe", "postgres", "mail"):
            assert not (tmp_path / absent).exists()
        await _assert_sells_what_needs_no_stripe(mesh)
        assert await mesh.stop() == 0
    finally:
        await mesh.close()


async def _assert_sells_what_needs_no_stripe(mesh: LocalMesh) -> None:
    organizer = await Shop.open(mesh)
    free = await organizer.event(price="0.00")
    assert (await shop.order(mesh, await shop.hold(mesh, free)))["state"] == "PAID"
    held = await shop.hold(mesh, await organizer.event())
    customer = {"email": "grace@customer.example", "full_name": "Grace"}
    body = {"hold_id": held["id"], "customer": customer}
    answer = await mesh.http.post("/v1/orders", json=body)
    refused(answer, 503, "PAYMENT_PROVIDER_UNAVAILABLE")
    assert answer.headers["retry-after"]


@pytest.mark.parametrize(("number", "separate"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
async def test_stopping_answers_first_and_leaves_no_process(
    tmp_path: Path, number: signal.Signals, *, separate: bool
) -> None:
    mesh = LocalMesh(tmp_path, separate=separate)
    try:
        await mesh.start()
        processes = mesh.processes()
        assert len(processes) > 1 + 5 * separate
        sending = [
            asyncio.create_task(mesh.http.post("/v1/users", json=_person(n))) for n in range(12)
        ]
        await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
        assert not all(task.done() for task in sending), "Argon2 takes a while"
        assert await mesh.end(number) == 0
        assert [(await task).status_code for task in sending] == [201] * len(sending)
        assert "Traceback" not in mesh.output
        _, alive = psutil.wait_procs(processes, timeout=5)
        assert alive == []
    finally:
        await mesh.close()


async def test_data_survives_a_restart(alone: LocalMesh) -> None:
    organizer = await Shop.open(alone)
    event = await organizer.event()
    assert await alone.stop() == 0
    await alone.start()
    headers = await sign_in(alone, organizer.email, organizer.password)
    kept = (await alone.http.get(f"/v1/events/{event['id']}", headers=headers)).json()
    assert kept == event
    old = await alone.http.get("/v1/users/me", headers=organizer.headers)
    assert old.is_success, "the keys that signed its token survive too"


async def test_without_postgresql_it_stops_and_says_so(alone: LocalMesh) -> None:
    processes = alone.processes()
    server = next(each for each in processes if each.name() == "postgres")
    server.kill()
    assert await alone.ended() == 1
    last = alone.output.strip().splitlines()[-1]
    assert last.startswith("Tessera stops: PostgreSQL has ended")
    assert "Traceback" not in alone.output
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []
    await alone.start()
    assert (await alone.http.get("/readyz")).is_success


def _person(number: int) -> Json:
    email, password = f"ada{number}@theatre.example", "long enough for all"
    person = {"email": email, "password": password, "full_name": "Ada"}
    return {"organizer_name": "Theatre", **person}


async def test_stopping_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    mesh = LocalMesh(tmp_path)
    starting = asyncio.create_task(mesh.start())

    async def postgres_starts() -> bool:
        return (tmp_path / "postgres" / "socket").exists()

    await until(postgres_starts)
    processes = mesh.processes()
    mesh.signal(signal.SIGTERM)
    with pytest.raises(AssertionError):
        await starting
    assert await mesh.ended() == 0
    assert "Traceback" not in mesh.output
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []
    await mesh.close()
