"""What keeps the tables fit: the migration at start, partitions ahead and retention each hour."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import structlog

from windrow.records import partitions, retention
from windrow.records.migrate import migrate_async
from windrow.server.platform import DATABASE_AWAY, Backoff, Platform, pause

_log = structlog.get_logger(__name__)

EVERY_S: Final = 3_600.0


async def migrate(platform: Platform, database_url: str) -> None:
    """Bring the schema to this release, as soon as the database can be reached."""
    backoff = Backoff()
    while not platform.stop.is_set():
        try:
            await migrate_async(database_url)
        except DATABASE_AWAY as error:
            if platform.database_away is None:
                _log.warning("PostgreSQL can't be migrated yet; trying again", error=str(error))
            platform.database_away = str(error) or type(error).__name__
            await pause(platform.stop, backoff.seconds())
        else:
            platform.database_away = None
            platform.migrated.set()
            return


async def keep(platform: Platform, days: int = retention.DAYS) -> None:
    """While this server leads: partitions ahead and retention, each hour, until the platform stops."""
    while not await pause(platform.stop, EVERY_S):
        if not (platform.leading.is_set() and platform.migrated.is_set()):
            continue
        try:
            async with platform.engine.begin() as connection:
                await partitions.ensure(connection, datetime.now(UTC))
            retained = await retention.retain(platform.engine, days)
        except DATABASE_AWAY as error:
            _log.warning("retention and partitions ahead wait for the next hour", error=str(error))
        else:
            if retained.dropped or retained.deleted:
                _log.info("retention", days_dropped=[str(day) for day in retained.dropped], deleted=retained.deleted)
