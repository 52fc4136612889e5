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

_OUTBOX_ALONE = (
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
    f"""
    CREATE TABLE IF NOT EXISTS {SCHEMA}.execution_keys (
      kind SMALLINT NOT NULL, key TEXT NOT NULL, execution_id UUID NOT NULL, task_id TEXT, PRIMARY KEY (kind, key)
    )
    """,
    f"CREATE INDEX IF NOT EXISTS ix_execution_keys_execution_id ON {SCHEMA}.execution_keys (execution_id)",
    f"""
    CREATE TABLE IF NOT EXISTS {SCHEMA}.outbox (
      execution_id UUID NOT NULL, queue TEXT NOT NULL, task TEXT NOT NULL, task_id TEXT NOT NULL, body BYTEA NOT NULL,
      enqueued_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, published_at TIMESTAMP WITH TIME ZONE,
      PRIMARY KEY (execution_id)
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)
    """,
    f"CREATE INDEX IF NOT EXISTS ix_outbox_unpublished ON {SCHEMA}.outbox (execution_id) WHERE published_at IS NULL",
    f"""
    CREATE OR REPLACE FUNCTION {SCHEMA}.ring_outbox() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('windrow_outbox', ''); RETURN NULL; END $$
    """,
    f"""
    CREATE OR REPLACE TRIGGER ring AFTER INSERT ON {SCHEMA}.outbox
    FOR EACH ROW WHEN (NEW.published_at IS NULL) EXECUTE FUNCTION {SCHEMA}.ring_outbox()
    """,
)
"""The outbox without the other tables, as the migrations make it."""


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


def migrate_outbox(url: str) -> None:
    """Put an outbox into the database at `url`, which need not be the platform's; again does no harm.

    Not for use inside an event loop. Raises what the database raises.
    """
    asyncio.run(_migrate_outbox(url))


async def _migrate_outbox(url: str) -> None:
    engine = make_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": partitions.LOCK})
            for statement in _OUTBOX_ALONE:
                await connection.execute(text(statement))
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
