"""Bringing the database's schema to this release, under an advisory lock; a schema one release newer is accepted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.pool import NullPool

from windrow.records import partitions
from windrow.records.engine import make_engine
from windrow.records.tables import SCHEMA

_log = structlog.get_logger(__name__)

VERSION_TABLE = "alembic_version"


def migrate(url: str) -> None:
    """Create or migrate schema `windrow` in the database at `url`, and make partitions ahead.

    Not for use inside an event loop: `migrate_async` is. Raises what the database raises.
    """
    asyncio.run(migrate_async(url))


async def migrate_async(url: str) -> None:
    """`migrate`, inside an event loop."""
    engine = make_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": partitions.LOCK})
            await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            await connection.run_sync(_upgrade)
            await partitions.ensure(connection, datetime.now(UTC))
    finally:
        await engine.dispose()


def configuration() -> Config:
    """Alembic's configuration; no file is needed."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _upgrade(connection: Connection) -> None:
    config = configuration()
    scripts = ScriptDirectory.from_config(config)
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "version_table_schema": SCHEMA})
    known = {script.revision for script in scripts.walk_revisions()}
    current = context.get_current_revision()
    if current is not None and current not in known:
        # Migrations only ever add until the release after, so that the release before can still write.
        _log.info("the database's schema is newer than this release; it is left as it is", revision=current)
        return
    if current == scripts.get_current_head():
        return
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
