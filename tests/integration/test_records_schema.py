"""The schema: migrated once however many start, as the models say, partitioned ahead, with updates that stay cheap."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from tests.integration.test_records_recorder import rows, run
from windrow.records import partitions, states
from windrow.records.migrate import migrate
from windrow.records.store import _EXECUTION_CHANGES
from windrow.records.tables import Base


def test_servers_that_start_together_migrate_once(database_url):
    """An advisory lock lets one migrate; the others find it done."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [database_url] * 4))

    async def use(engine):
        assert await rows(engine, "SELECT count(*) FROM windrow.alembic_version") == [(1,)]
        assert dict(await rows(engine, "SELECT code, id FROM windrow.execution_statuses")) == states.STATUS_IDS

    run(database_url, use)


def test_the_migrations_make_what_the_models_say(migrated_database_url):
    """Alembic finds no difference between the migrated schema and the models."""

    def own(_object, name, kind, _reflected, compare_to):
        return not (kind in ("table", "index") and compare_to is None and (name == "alembic_version" or "_20" in name))

    def compare(connection):
        options = {"include_schemas": True, "include_object": own, "compare_server_default": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)

    async def use(engine):
        async with engine.connect() as connection:
            assert await connection.run_sync(compare) == []

    run(migrated_database_url, use)


def test_a_schema_one_release_newer_is_accepted(migrated_database_url):
    """A server that is rolled back finds a newer schema: it leaves it as it is and works."""

    async def newer(engine):
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE windrow.alembic_version SET version_num = '9999'"))

    run(migrated_database_url, newer)
    migrate(migrated_database_url)

    async def use(engine):
        assert await rows(engine, "SELECT version_num FROM windrow.alembic_version") == [("9999",)]

    run(migrated_database_url, use)


def test_partitions_are_made_ahead(migrated_database_url):
    """Each partitioned table has the days from yesterday to three ahead; asking again makes none."""
    now = datetime.now(UTC)

    async def use(engine):
        async with engine.begin() as connection:
            have = await partitions.existing(connection)
            assert set(partitions.days_ahead(now)) <= have.keys()
            assert all(tables == set(partitions.PARTITIONED) for tables in have.values())
            assert await partitions.ensure(connection, now) == []
            later = await partitions.ensure(connection, now + timedelta(days=2))
            assert later == [(now + timedelta(days=offset)).date() for offset in (4, 5)]

    run(migrated_database_url, use)


def test_making_partitions_waits_for_no_open_transaction(migrated_database_url):
    """A user's transaction that has written stays open as long as it likes."""

    async def use(engine):
        async with engine.connect() as writer:
            await writer.execute(
                text("INSERT INTO windrow.execution_reports (execution_id) VALUES (:id)"),
                {"id": partitions.lower_bound(datetime.now(UTC).date())},
            )
            async with asyncio.timeout(5), engine.begin() as connection:
                assert await partitions.ensure(connection, datetime.now(UTC) + timedelta(days=9))

    run(migrated_database_url, use)


def test_no_index_covers_a_column_that_changes(migrated_database_url):
    """Updates of executions stay heap-only; no foreign key blocks dropping a partition."""
    fixed_once_known = {"task_id", "external_id"}
    changing = {name for name, _, _ in _EXECUTION_CHANGES} - fixed_once_known

    async def use(engine):
        indexed = await rows(
            engine,
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) "
            "WHERE i.indrelid = 'windrow.executions'::regclass",
        )
        assert {name for (name,) in indexed} == {"id", *fixed_once_known}
        assert not changing & {name for (name,) in indexed}
        assert await rows(engine, "SELECT conname FROM pg_constraint WHERE contype = 'f'") == []

    run(migrated_database_url, use)
