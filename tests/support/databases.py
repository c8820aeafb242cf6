"""What tests do to a database as its administrator."""

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine


async def close_database(url: URL, *, closed: bool = True) -> None:
    """Let nobody connect to the database, and send away who is; or let them again."""
    engine = create_async_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(
            text(f'ALTER DATABASE "{url.database}" ALLOW_CONNECTIONS {not closed}')
        )
        if closed:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
                ),
                {"name": url.database},
            )
    await engine.dispose()
