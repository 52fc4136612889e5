"""Reading and retaining the records."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from tests.integration.records_events import accepted, ended, push, started
from tests.integration.test_records_recorder import record, rows, run
from windrow.broker.events import new_id
from windrow.records import repository, totals
from windrow.records.retention import retain


@pytest.fixture
def executions(redis_client, migrated_database_url):
    """One success with a wait, one failure, one that runs; their ids, in order of acceptance."""
    ids = [new_id() for _ in range(3)]
    push(
        redis_client,
        [
            accepted(ids[0], external="mine"),
            ended(ids[0], new_id(), "success", "success", result="1", wait=2.0),
            accepted(ids[1], queue="file_queue", task="b.task"),
            ended(ids[1], new_id(), "failed", "failed", queue="file_queue", task="b.task", error="ValueError", message="no"),
            accepted(ids[2]),
            started(ids[2], new_id()),
        ],
    )
    run(migrated_database_url, lambda engine: record(engine, redis_client))
    return ids


def test_executions_are_listed_and_found(executions, migrated_database_url):
    """By queue, state and task, the newest first; one by its id, its given id or Celery's task id."""

    async def use(engine):
        async with engine.connect() as connection:
            listed = await repository.list_executions(connection)
            assert [str(row["id"]) for row in listed] == sorted(executions, reverse=True)
            (failed,) = await repository.list_executions(connection, queue="file_queue", state="failed", task="b.task")
            assert (failed["state"], failed["error"]) == ("failed", "ValueError")
            assert await repository.list_executions(connection, since=datetime.now(UTC) + timedelta(hours=1)) == []
            for name in (executions[0], "mine", f"task-{executions[0]}"):
                found = await repository.get_execution(connection, name)
                assert str(found["id"]) == executions[0]
            assert await repository.get_execution(connection, "nobody's") is None
            with pytest.raises(ValueError, match=r"state must be one of ready, .* not 'done'"):
                await repository.list_executions(connection, state="done")
            (attempt,) = await repository.attempts(connection, UUID(executions[1]))
            assert (attempt["outcome"], attempt["message"]) == ("failed", "no")
            assert await repository.message(connection, UUID(executions[2])) == b"{}"
            assert await repository.message(connection, UUID(executions[1])) == b"{}"
            assert await repository.message(connection, UUID(executions[0])) is None

    run(migrated_database_url, use)


def test_figures_over_the_records(executions, migrated_database_url):
    """Counts by state, waits, last errors and what is unfinished."""
    since = datetime.now(UTC) - timedelta(minutes=1)

    async def use(engine):
        async with engine.connect() as connection:
            counts = await repository.counts_by_state(connection)
            assert counts == {"default": {"success": 1, "running": 1}, "file_queue": {"failed": 1}}
            assert await repository.counts_by_state(connection, queue="file_queue", since=since) == {
                "file_queue": {"failed": 1}
            }
            waits = await repository.waits(connection, since=since)
            assert waits["default"] == pytest.approx([1.125, 1.9125])
            (error,) = await repository.last_errors(connection, since=since)
            assert (error["error"], error["task"]) == ("ValueError", "b.task")
            assert await repository.unfinished(connection) == 1

    run(migrated_database_url, use)


def test_every_total_is_read_with_its_names_as_they_are(executions, migrated_database_url):
    """All rows of the table, in its order; names may hold what COPY escapes."""
    strange = ("failures", "tab\tqueue", "new\nline\r", "back\\slash \\n \x0b“ü", 3)

    async def use(engine):
        async with engine.begin() as connection:
            statement = text("INSERT INTO windrow.totals VALUES (:k, :q, :t, :l, :v)")
            await connection.execute(statement, dict(zip("kqtlv", strange, strict=True)))
        async with engine.connect() as connection:
            found = await totals.read((await connection.get_raw_connection()).driver_connection)
        assert strange in found
        assert ("finished", "default", "a.task", "success", 1) in found
        assert sorted(found) == sorted(await rows(engine, "SELECT kind, queue, task, label, value FROM windrow.totals"))

    run(migrated_database_url, use)


def test_retention_drops_whole_days_and_spares_the_unfinished(redis_client, migrated_database_url):
    """A day of finals leaves as a partition, of a mixed day only the finals go; exact totals stay."""
    past = [new_id((datetime.now(UTC) - timedelta(days=days)).timestamp()) for days in (50, 40, 40, 5)]

    async def use(engine):
        push(redis_client, [accepted(execution) for execution in past])
        push(redis_client, [ended(past[n], new_id(), "success", "success") for n in (0, 1, 3)])
        await record(engine, redis_client)
        totals = await rows(engine, "SELECT * FROM windrow.totals")
        retained = await retain(engine, 30)
        assert [f"{day}" for day in retained.dropped] == [f"{(datetime.now(UTC) - timedelta(days=50)).date()}"]
        assert retained.deleted == 1
        left = {str(row[0]) for row in await rows(engine, "SELECT id FROM windrow.executions")}
        assert left == {past[2], past[3]}
        assert await rows(engine, "SELECT count(*) FROM windrow.attempts") == [(1,)]
        assert await rows(engine, "SELECT * FROM windrow.totals") == totals
        assert (await retain(engine, 30)).dropped == ()

    run(migrated_database_url, use)


def test_retention_waits_for_nobody(redis_client, migrated_database_url):
    """A day that somebody reads in an open transaction is left for the next run."""
    old = new_id((datetime.now(UTC) - timedelta(days=50)).timestamp())

    async def use(engine):
        push(redis_client, [accepted(old), ended(old, new_id(), "success", "success")])
        await record(engine, redis_client)
        async with engine.connect() as reader:
            await repository.list_executions(reader)
            async with asyncio.timeout(10):
                assert (await retain(engine, 30)).dropped == ()
        assert len((await retain(engine, 30)).dropped) == 1

    run(migrated_database_url, use)
    with pytest.raises(ValueError, match="retention must be at least 1 day, not 0"):
        run(migrated_database_url, lambda engine: retain(engine, 0))
