"""The recorder on a real stream and a real database: each event counts exactly once, whatever happens between."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from sqlalchemy import text

from tests.integration.records_events import accepted, ended, push, read, started, workload
from windrow.broker.events import new_id
from windrow.records.engine import make_engine
from windrow.records.recorder import Recorder

TOTALS = "SELECT kind, queue, task, label, value FROM windrow.totals WHERE value > 0"

COUNTED = """
SELECT 'finished', e.queue, CASE WHEN s.code = 'rejected' THEN 'other' ELSE e.task END, s.code, count(*)
  FROM windrow.executions e JOIN windrow.execution_statuses s ON s.id = e.status_id WHERE s.id > 4 GROUP BY 1, 2, 3, 4
UNION ALL SELECT 'attempts', queue, task, '', count(*) FROM windrow.attempts WHERE outcome IS NOT NULL GROUP BY 1, 2, 3, 4
UNION ALL SELECT 'retries', queue, task, '', count(*) FROM windrow.attempts WHERE outcome = 'retried' GROUP BY 1, 2, 3, 4
UNION ALL SELECT 'failures', queue, task, error, count(*) FROM windrow.attempts WHERE error IS NOT NULL GROUP BY 1, 2, 3, 4
"""


def run(url, use):
    """Run `use(engine)` on an engine of its own."""

    async def inside():
        engine = make_engine(url)
        try:
            return await use(engine)
        finally:
            await engine.dispose()

    return asyncio.run(inside())


async def rows(engine, statement, **values):
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(statement), values)]


async def record(engine, redis_client, *, count=None, recorder=None):
    """Apply what is in the stream after the position on record; nothing is trimmed."""
    recorder = recorder or Recorder(engine)
    entries = read(redis_client, await recorder.position(), count)
    await recorder.apply(entries)
    return recorder


async def state(engine, execution):
    statement = (
        "SELECT s.code FROM windrow.executions e JOIN windrow.execution_statuses s ON s.id = e.status_id WHERE e.id = :id"
    )
    ((code,),) = await rows(engine, statement, id=execution)
    return code


@pytest.mark.parametrize("seed", [1, 2])
def test_totals_equal_what_sql_counts(redis_client, migrated_database_url, seed):
    """Whatever the batches, the exact counters are the counts of the rows, and none that succeeded keeps its message."""
    push(redis_client, workload(300, seed), together=1 + seed)

    async def use(engine):
        dice = random.Random(seed)
        recorder = Recorder(engine)
        while entries := read(redis_client, await recorder.position(), dice.choice([1, 7, 40])):
            await recorder.apply(entries)
        assert sorted(await rows(engine, TOTALS)) == sorted(await rows(engine, COUNTED))
        ((open_, finished),) = await rows(
            engine,
            "SELECT count(*) FILTER (WHERE status_id <= 4), count(*) FILTER (WHERE status_id > 4) FROM windrow.executions",
        )
        assert open_ + finished == 300
        assert min(open_, finished) > 20
        kept = await rows(
            engine,
            "SELECT e.status_id = 5, count(*) FROM windrow.messages m JOIN windrow.executions e ON e.id = m.execution_id "
            "GROUP BY 1",
        )
        assert [succeeded for succeeded, _ in kept] == [False]
        assert open_ < kept[0][1] < 300
        assert recorder.dropped == 0

    run(migrated_database_url, use)


def test_a_batch_that_is_read_again_counts_nothing(redis_client, migrated_database_url):
    """A crash between the commit and the trim leaves entries in the stream that are on record: they are left out."""
    push(redis_client, workload(60, 3))

    async def use(engine):
        first = Recorder(engine)
        entries = read(redis_client)
        await first.apply(entries[:20])
        once = await rows(engine, TOTALS)
        again = Recorder(engine)  # started after the crash
        await again.apply(entries[:20])
        assert await rows(engine, TOTALS) == once
        with structlog.testing.capture_logs() as logs:
            await asyncio.gather(first.apply(entries[5:]), again.apply(entries[5:]))  # two that believe they lead
        assert not logs, "one must have waited for the other's position"
        assert sorted(await rows(engine, TOTALS)) == sorted(await rows(engine, COUNTED))
        assert await again.position() == entries[-1][0]

    run(migrated_database_url, use)


def test_a_stream_that_is_taken_from_its_beginning_counts_nothing_twice(redis_client, migrated_database_url):
    """After a rewind, what is accepted anew in a batch may be on record already: it is seen, and changes nothing."""
    push(redis_client, workload(80, 7), together=3)

    async def use(engine):
        recorder = Recorder(engine)
        entries = read(redis_client)
        await recorder.apply(entries)
        finals = "SELECT * FROM windrow.executions WHERE status_id > 4 ORDER BY id"
        before = await rows(engine, finals), sorted(await rows(engine, TOTALS))
        fresh = new_id()
        push(redis_client, [accepted(fresh)])
        await recorder.rewind()
        with structlog.testing.capture_logs() as logs:
            while entries := read(redis_client, await recorder.position(), 25):
                await recorder.apply(entries)
        assert not logs
        assert (await rows(engine, finals), sorted(await rows(engine, TOTALS))) == before
        assert before[1] == sorted(await rows(engine, COUNTED))
        assert await state(engine, fresh) == "ready"

    run(migrated_database_url, use)


def test_an_entry_that_is_read_again_sets_nothing_back(redis_client, migrated_database_url):
    """What is at or before the position on record is left out, also when it would change a state."""
    execution = new_id()
    moved = {"k": "moved", "id": execution, "t": 1.0, "queue": "default", "task": "a.task", "reason": "eta"}
    push(
        redis_client, [accepted(execution), {**moved, "state": "delayed", "due": 4e9}, {**moved, "state": "ready"}], together=1
    )

    async def use(engine):
        entries = read(redis_client)
        await Recorder(engine).apply(entries)
        assert await state(engine, execution) == "ready"
        await Recorder(engine).apply(entries[:2])
        assert await state(engine, execution) == "ready"

    run(migrated_database_url, use)


def test_a_failure_inside_the_batch_leaves_nothing_of_it(redis_client, migrated_database_url):
    """Rows, totals and position are one transaction: a database that goes away in it has none of them."""
    push(redis_client, workload(30, 4))

    async def use(engine):
        recorder = Recorder(engine)
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE windrow.totals RENAME TO hidden"))
        with pytest.raises(Exception, match="totals"):
            await record(engine, redis_client, recorder=recorder)
        assert await rows(engine, "SELECT count(*) FROM windrow.executions") == [(0,)]
        assert await recorder.position() == "0-0"
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE windrow.hidden RENAME TO totals"))
        await record(engine, redis_client, recorder=recorder)
        assert sorted(await rows(engine, TOTALS)) == sorted(await rows(engine, COUNTED))

    run(migrated_database_url, use)


def test_a_final_never_changes(redis_client, migrated_database_url):
    """Events that come after the final, in whichever batch, change neither the row nor a total."""
    execution, attempt = new_id(), new_id()

    async def use(engine):
        push(redis_client, [accepted(execution), started(execution, attempt)])
        await record(engine, redis_client)
        assert await state(engine, execution) == "running"
        push(redis_client, [ended(execution, attempt, "failed", "failed", error="E")])
        await record(engine, redis_client)
        before = await rows(engine, "SELECT * FROM windrow.executions"), await rows(engine, TOTALS)
        late = [
            ended(execution, attempt, "success", "success"),
            started(execution, new_id()),
            ended(execution, new_id(), "success", "success"),
            ended(execution, None, "cancelled", None),
            accepted(execution),
        ]
        for event in late:
            push(redis_client, [event])
            await record(engine, redis_client)
        assert (await rows(engine, "SELECT * FROM windrow.executions"), await rows(engine, TOTALS)) == before

    run(migrated_database_url, use)


def test_text_that_postgresql_refuses_is_recorded_all_the_same(redis_client, migrated_database_url):
    """NUL, lone surrogates and endless names neither stop the recorder nor lose the event."""
    execution = new_id()
    told = [
        accepted(execution, args="a\x00\ud800", task="t" * 5_000, message='{"a": "\\u0000 \ud800"}', expires=1e999),
        ended(execution, new_id(), "failed", "failed", error="E\x00", message="\x00" * 10_000, traceback="\udfff" * 50_000),
    ]

    async def use(engine):
        for event in told:
            push(redis_client, [event])
            recorder = await record(engine, redis_client)
            assert recorder.dropped == 0
        assert await state(engine, execution) == "failed"
        ((args, task),) = await rows(engine, "SELECT args, length(task) FROM windrow.executions")
        assert (args, task) == ("a\N{REPLACEMENT CHARACTER}?", 200)

    run(migrated_database_url, use)


@pytest.mark.parametrize("together", [1, 4])
def test_one_event_that_the_database_refuses_holds_up_no_other(redis_client, migrated_database_url, together):
    """A batch with a bad event is split; the bad one is logged and counted, all others are on record, each once."""
    executions = [new_id() for _ in range(40)]
    told = [accepted(execution, task="poison" if n == 13 else "a.task") for n, execution in enumerate(executions)]
    told.insert(5, {"k": "accepted", "id": "no id"})

    async def use(engine):
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE windrow.executions ADD CONSTRAINT c CHECK (task <> 'poison')"))
        push(redis_client, told, together=together)
        with structlog.testing.capture_logs() as logs:
            recorder = await record(engine, redis_client)
        assert recorder.dropped == 2
        assert len([entry for entry in logs if entry["event"] == "an event could not be recorded"]) == 2
        assert await rows(engine, "SELECT count(*) FROM windrow.executions") == [(39,)]
        assert not read(redis_client, await recorder.position())

    run(migrated_database_url, use)


def test_a_missing_partition_stops_nothing(redis_client, migrated_database_url):
    """Partitions of other days are made when an event needs them, also when one goes while the recorder runs."""
    old, today = new_id((datetime.now(UTC) - timedelta(days=40)).timestamp()), new_id()

    async def use(engine):
        recorder = Recorder(engine)
        push(redis_client, [accepted(old), accepted(today)])
        await record(engine, redis_client, recorder=recorder)
        assert await rows(engine, "SELECT count(*) FROM windrow.executions") == [(2,)]
        suffix = f"{datetime.now(UTC) - timedelta(days=40):%Y%m%d}"
        async with engine.begin() as connection:
            for table in ("executions", "attempts", "messages", "execution_reports"):
                await connection.execute(text(f"DROP TABLE windrow.{table}_{suffix}"))
        push(redis_client, [accepted(old), ended(today, new_id(), "success", "success")])
        await record(engine, redis_client, recorder=recorder)
        assert await rows(engine, "SELECT count(*) FROM windrow.executions") == [(2,)]
        assert await state(engine, today) == "success"

    run(migrated_database_url, use)


def test_a_retry_replaces_the_message(redis_client, migrated_database_url):
    """What is kept is the message of the next attempt, with its due time on the execution."""
    execution, attempt = new_id(), new_id()

    async def use(engine):
        push(redis_client, [accepted(execution, message="first"), started(execution, attempt)])
        await record(engine, redis_client)
        push(redis_client, [accepted(execution, retries=1, tag="next", due=4_000_000_000.0, message="second")])
        await record(engine, redis_client)
        ((body, due, retries),) = await rows(
            engine,
            "SELECT m.body, e.due_at, e.retries FROM windrow.messages m JOIN windrow.executions e ON e.id = m.execution_id",
        )
        assert (body, due.timestamp(), retries) == (b"second", 4_000_000_000.0, 1)
        assert await state(engine, execution) == "retrying"

    run(migrated_database_url, use)
