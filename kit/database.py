"""PostgreSQL through SQLAlchemy Core: transactions, and signals that fire when one commits."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

from sqlalchemy import Executable, MetaData, Row, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from kit.errors import Unavailable
from kit.settings import InvalidSetting

Transaction = AsyncConnection

STATEMENT_TIMEOUT_MS = 10_000
START_TIMEOUT_S = 15  # on a busy machine, what a process does at its start can keep it for seconds

_CREATING = 7355609  # the advisory lock under which databases are created

# Constraints get predictable names, so that migrations can speak of them.
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached right now; try again shortly."""


class Database:
    """One service's database.

    A store function calls `signal(tx, name)`; once that transaction has committed, whoever waits
    in `wait(name)` in this process wakes. Other replicas notice at their next poll.
    """

    def __init__(self, url: URL, *, pool_size: int = 10) -> None:
        self._engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            connect_args={
                "timeout": 5,
                "server_settings": {
                    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                    "idle_in_transaction_session_timeout": "30000",
                    "timezone": "UTC",
                    "jit": "off",
                },
            },
        )
        self._each = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._signals: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        """A transaction: committed at the end, rolled back by any error.

        Raises:
            DatabaseUnavailable: there is no connection, or it was lost.
        """
        async with self._connection(self._engine) as connection:
            callbacks: list[Callable[[], None]] = []
            async with connection.begin():
                _info(connection)["database"] = self
                _info(connection)["on_commit"] = callbacks
                yield connection
            for callback in callbacks:
                callback()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """A connection for statements that only look, each by itself: it saves two trips.

        What one finds may have changed when the next looks.

        Raises:
            DatabaseUnavailable: there is no connection, or it was lost.
        """
        async with self._connection(self._each) as connection:
            yield connection

    async def execute(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        """The rows of one statement, which is a transaction by itself: one trip, not three.

        Raises:
            DatabaseUnavailable: there is no connection, or it was lost.
        """
        async with self.read() as connection:
            result = await connection.execute(statement, values)
            return result.all() if result.returns_rows else []

    @asynccontextmanager
    async def _connection(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """One from the pool, whose passing failures are DatabaseUnavailable."""
        try:
            async with AsyncExitStack() as stack:
                try:
                    connection = await stack.enter_async_context(engine.connect())
                except DBAPIError as error:  # whatever it is, we can only try again
                    raise DatabaseUnavailable from error
                yield connection
        except (OSError, PoolTimeoutError, InterfaceError, OperationalError) as error:
            raise DatabaseUnavailable from error
        except DBAPIError as error:
            if error.connection_invalidated or _is_passing(error):
                raise DatabaseUnavailable from error
            raise

    async def wait(self, name: str, timeout_s: float) -> None:
        """Sleep until a transaction that signalled `name` commits, at most `timeout_s`."""
        event = self._signals[name]
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await event.wait()
        event.clear()

    def wake(self, name: str) -> None:
        """End the sleep of who waits for `name`."""
        self._signals[name].set()

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _is_passing(error: DBAPIError) -> bool:
    """Whether the same transaction may well succeed later: the server said so, by its SQLSTATE.

    https://www.postgresql.org/docs/18/errcodes-appendix.html: 08 connections, 40 rollbacks such as
    a deadlock, 53 resources such as a full disk, 57P the server is starting or stopping, 57014 and
    55P03 a statement or a lock took too long.
    """
    state = str(getattr(error.orig, "sqlstate", None) or "")
    return state.startswith(("08", "40", "53", "57P", "57014", "55P03"))


def signal(tx: Transaction, name: str) -> None:
    """Wake who waits for `name`, once this transaction has committed."""
    database: Database = _info(tx)["database"]
    on_commit(tx, partial(database.wake, name))


def on_commit(tx: Transaction, callback: Callable[[], None]) -> None:
    """Run `callback` as soon as this transaction has committed; never if it does not."""
    _info(tx)["on_commit"].append(callback)


def _info(tx: Transaction) -> dict[Any, Any]:
    """What the connection carries for us, while this transaction lasts."""
    assert tx.sync_connection is not None
    return tx.sync_connection.info


def new_metadata() -> MetaData:
    """Metadata with the house's constraint names."""
    return MetaData(naming_convention=NAMING)


def service_url(url: str, area: str) -> URL:
    """The address of one service's database: `…/tessera` becomes `…/tessera_ticket`."""
    try:
        base = make_url(url)
    except ArgumentError:
        raise InvalidSetting(
            "TESSERA_DATABASE_URL is not a database address: "
            "write postgresql://user:password@host:5432/tessera."
        ) from None
    if base.get_backend_name() != "postgresql":
        raise InvalidSetting(
            f"TESSERA_DATABASE_URL names {base.get_backend_name()}: Tessera needs PostgreSQL."
        )
    return base.set(
        drivername="postgresql+asyncpg", database=f"{base.database or 'tessera'}_{area}"
    )


async def ensure_database(url: URL) -> None:
    """Create the database unless it is there; replicas that start at once take turns."""
    engine = create_async_engine(
        url.set(database="postgres"),
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": START_TIMEOUT_S},
    )
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _CREATING})
            exists = text("SELECT 1 FROM pg_database WHERE datname = :name")
            if (await connection.execute(exists, {"name": url.database})).first() is None:
                quoted = engine.dialect.identifier_preparer.quote(url.database or "")
                await connection.execute(text(f"CREATE DATABASE {quoted}"))
    except (OSError, DBAPIError) as error:
        said = str(getattr(error, "orig", error)).splitlines()
        reason = said[0] if said else "it does not answer."
        raise InvalidSetting(
            f"The database {url.render_as_string(hide_password=True)} cannot be used: {reason}"
        ) from error
    finally:
        await engine.dispose()
