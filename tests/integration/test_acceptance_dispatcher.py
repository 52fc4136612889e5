"""The dispatcher: what a transaction accepted is published, the same message at least once, whatever dies in between."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.acceptance import dispatch, in_session, make_app, messages, platform, rows, within
from tests.integration.records_events import ended, push, read
from windrow import enqueue
from windrow.broker.events import new_id
from windrow.local.servers import EmbeddedRedis
from windrow.records import outbox
from windrow.records.engine import make_engine
from windrow.records.migrate import migrate_outbox
from windrow.records.recorder import Recorder
from windrow.server import dispatching
from windrow.server.dispatching import Dispatcher


@pytest.fixture
def app(redis_url: str) -> Celery:
    return make_app(redis_url)


async def _enqueue(engine: AsyncEngine, app: Celery, count: int) -> list[str]:
    async def calls(session: Any) -> list[str]:
        return [(await enqueue(session, app.tasks["kept.add"], args=(n,))).execution_id for n in range(count)]

    return list(await in_session(engine, calls))


async def _until(fn: Any, what: str, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not await fn():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.005)


def _executions(client: redis.Redis) -> list[str]:
    return [message["headers"]["windrow"]["id"] for message in messages(client)]


def test_a_commit_rings_and_the_call_is_out_at_once(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str
) -> None:
    """No polling interval lies between a commit and its publish: far less than the dispatcher's own look of a second."""

    async def use(engine: AsyncEngine) -> None:
        here = platform(redis_url, engine)
        running = asyncio.create_task(dispatching.dispatch(here))
        await _enqueue(engine, app, 1)

        async def out(count: int) -> bool:
            return redis_client.llen("kept") == count

        await _until(lambda: out(1), "the first")
        waits = []
        for n in range(2, 12):
            await asyncio.sleep(0.05)
            await _enqueue(engine, app, 1)
            began = time.monotonic()
            await _until(lambda n=n: out(n), "the next")
            waits.append(time.monotonic() - began)
        assert sorted(waits)[5] < 0.3
        here.stop.set()
        await asyncio.wait_for(running, 5)

    within(migrated_database_url, use)


def test_killed_between_publish_and_mark_it_publishes_the_same_message_again(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once, byte for byte; on record it is one execution, and the row goes."""

    async def use(engine: AsyncEngine) -> None:
        (execution,) = await _enqueue(engine, app, 1)

        async def dies(*_: object) -> None:
            raise ConnectionResetError("killed here")

        with monkeypatch.context() as patch:
            patch.setattr(outbox, "mark", dies)
            with pytest.raises(ConnectionResetError):
                await dispatch(redis_url, engine)
        assert await dispatch(redis_url, engine) == 1
        first, second = redis_client.lrange("kept", 0, -1)  # type: ignore[misc]
        assert first == second
        await Recorder(engine).apply(read(redis_client))
        assert await rows(engine, "SELECT id::text FROM windrow.executions") == [(execution,)]
        assert await rows(engine, "SELECT 1 FROM windrow.outbox") == []

    within(migrated_database_url, use)


def test_two_dispatchers_publish_each_call_once(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str
) -> None:
    """A row that one holds is left out by the other, and none is forgotten."""

    async def use(engine: AsyncEngine) -> None:
        wanted = await _enqueue(engine, app, 1200)
        both = await asyncio.gather(dispatch(redis_url, engine), dispatch(redis_url, engine))
        assert sum(both) == 1200
        assert sorted(_executions(redis_client)) == sorted(wanted)

    within(migrated_database_url, use)


def test_what_redis_lost_before_it_was_on_record_is_published_again(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published, never recorded, and nothing older waits to be recorded: it can only be lost. Before that nothing is done."""
    monkeypatch.setattr(dispatching, "UNHEARD_S", 0.3)

    async def use(engine: AsyncEngine) -> None:
        (execution,) = await _enqueue(engine, app, 1)
        dispatcher = Dispatcher(platform(redis_url, engine))
        async with engine.connect() as pooled:
            raw: Any = (await pooled.get_raw_connection()).driver_connection
            await dispatcher.step(raw)
            await asyncio.sleep(0.4)
            await dispatcher._look_again(raw)
            assert await dispatcher.step(raw) == 0, "its event waits in the stream to be recorded"
            redis_client.flushall()

            async def again() -> bool:
                await dispatcher._look_again(raw)
                return await dispatcher.step(raw) == 1

            await _until(again, "its second publish")
        await dispatcher.close()
        assert _executions(redis_client) == [execution]

    within(migrated_database_url, use)


def test_a_redis_that_is_away_is_waited_for(state_dir: Path, migrated_database_url: str) -> None:
    """Nothing is marked while it is away; all is out when it is back."""
    server = EmbeddedRedis(state_dir)
    url = server.start()
    app = make_app(url)

    async def use(engine: AsyncEngine) -> None:
        here = platform(url, engine)
        running = asyncio.create_task(dispatching.dispatch(here))
        server.stop()
        wanted = await _enqueue(engine, app, 3)
        await asyncio.sleep(0.3)
        assert await rows(engine, "SELECT count(*) FROM windrow.outbox WHERE published_at IS NULL") == [(3,)]
        server.start()

        async def out() -> bool:
            return (await rows(engine, "SELECT count(*) FROM windrow.outbox WHERE published_at IS NULL")) == [(0,)]

        await _until(out, "the calls to be out", 20)
        with redis.Redis.from_url(url) as client:
            assert sorted(_executions(client)) == sorted(wanted)
        here.stop.set()
        await asyncio.wait_for(running, 8)

    try:
        within(migrated_database_url, use)
    finally:
        server.stop()


def test_a_row_that_is_no_message_ends_rejected_and_holds_up_nothing(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str
) -> None:
    """Anybody who may write the table may write nonsense: it is on record, with the reason, and the others go on."""

    async def use(engine: AsyncEngine) -> None:
        bad = new_id()
        async with engine.begin() as connection:
            values = {"id": uuid.UUID(bad)}
            insert = "INSERT INTO windrow.outbox VALUES (:id, 'kept', 'who', 'knows', '\\x7b')"
            await connection.execute(text(insert), values)
        (good,) = await _enqueue(engine, app, 1)
        await dispatch(redis_url, engine)
        assert _executions(redis_client) == [good]
        await Recorder(engine).apply(read(redis_client))
        found = await rows(engine, "SELECT status_id, reason FROM windrow.executions WHERE id = :id", id=uuid.UUID(bad))
        assert found[0][0] == 11
        assert "a kept message must be one that Windrow made" in found[0][1]
        assert await rows(engine, "SELECT 1 FROM windrow.outbox") == []

    within(migrated_database_url, use)


def test_an_outbox_in_another_database_is_emptied_too(
    app: Celery, redis_url: str, redis_client: redis.Redis, database_url: str, migrated_database_url: str
) -> None:
    """`windrow migrate --outbox` there, its URL with the server: a commit there is a call here."""
    migrate_outbox(database_url)
    migrate_outbox(database_url)

    async def use(engine: AsyncEngine) -> None:
        other = make_engine(database_url, pool_size=1)
        here = platform(redis_url, engine, other)
        running = asyncio.create_task(dispatching.dispatch(here))
        source = make_engine(database_url)
        try:
            wanted = await _enqueue(source, app, 700)

            async def out() -> bool:
                return redis_client.llen("kept") == 700

            await _until(out, "all calls to be out")
            assert sorted(_executions(redis_client)) == sorted(wanted)
            assert await rows(source, "SELECT 1 FROM windrow.outbox") == []
        finally:
            here.stop.set()
            await asyncio.wait_for(running, 5)
            await other.dispose()
            await source.dispose()

    within(migrated_database_url, use)


def test_what_redis_takes_no_more_of_waits_in_the_outbox(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str
) -> None:
    """While the records are too far behind, new calls are refused: the rows stay as they are, and go out when it is over."""

    async def use(engine: AsyncEngine) -> None:
        await _enqueue(engine, app, 3)
        redis_client.set("windrow:events:most", 100)
        with redis_client.pipeline(transaction=False) as pipe:
            for _ in range(250):
                pipe.xadd("windrow:events", {"v": "1", "e": "[]"})
            pipe.execute()
        assert await dispatch(redis_url, engine) == 0
        assert await rows(engine, "SELECT count(*) FROM windrow.outbox WHERE published_at IS NULL") == [(3,)]
        redis_client.delete("windrow:events")
        assert await dispatch(redis_url, engine) == 3

    within(migrated_database_url, use)


def test_old_keys_of_another_database_are_forgotten(redis_url: str, database_url: str, migrated_database_url: str) -> None:
    """An idempotency key there lives as long as records do: 30 days."""
    migrate_outbox(database_url)
    old, young = new_id(time.time() - 32 * 86400), new_id()

    async def use(engine: AsyncEngine) -> None:
        other = make_engine(database_url, pool_size=1)
        source = make_engine(database_url)
        async with source.begin() as connection:
            for one in (old, young):
                insert = "INSERT INTO windrow.execution_keys VALUES (1, :key, :id, 'x')"
                await connection.execute(text(insert), {"key": one, "id": uuid.UUID(one)})
        here = platform(redis_url, engine, other)
        running = asyncio.create_task(dispatching.dispatch(here))
        try:

            async def forgotten() -> bool:
                return await rows(source, "SELECT key FROM windrow.execution_keys") == [(young,)]

            await _until(forgotten, "the old key to be gone")
        finally:
            here.stop.set()
            await asyncio.wait_for(running, 5)
            await other.dispose()
            await source.dispose()

    within(migrated_database_url, use)


def test_big_messages_make_small_batches(
    app: Celery, redis_url: str, migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch has a bound in bytes; one message is never too many."""
    monkeypatch.setattr(dispatching, "BYTES_AT_ONCE", 3000)

    async def use(engine: AsyncEngine) -> None:
        await _enqueue(engine, app, 9)
        dispatcher = Dispatcher(platform(redis_url, engine))
        async with engine.connect() as pooled:
            raw: Any = (await pooled.get_raw_connection()).driver_connection
            sizes = []
            while found := await dispatcher.step(raw):
                sizes.append(found)
        await dispatcher.close()
        assert sum(sizes) == 9
        assert 1 <= max(sizes) < 9

    within(migrated_database_url, use)


def test_the_outbox_alone_is_the_one_the_migrations_make(database_url: str, migrated_database_url: str) -> None:
    """Columns, indexes and the trigger are the same in a database that has only an outbox."""
    migrate_outbox(database_url)
    tables = ("outbox", "execution_keys")
    columns = (
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema = 'windrow' AND table_name = ANY(:tables) ORDER BY 1, ordinal_position"
    )
    indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'windrow' AND tablename = ANY(:tables) ORDER BY 1"
    triggers = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'windrow.outbox'::regclass"
    options = "SELECT reloptions FROM pg_class WHERE oid = 'windrow.outbox'::regclass"

    async def use(engine: AsyncEngine) -> Any:
        return [
            await rows(engine, columns, tables=list(tables)),
            await rows(engine, indexes, tables=list(tables)),
            await rows(engine, triggers),
            await rows(engine, options),
        ]

    assert within(database_url, use) == within(migrated_database_url, use)


def test_what_has_ended_leaves_the_outbox_though_its_acceptance_was_lost(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str
) -> None:
    """Redis lost the acceptance, and a worker told of the end again: it is on record under its task id, and runs no more."""

    async def use(engine: AsyncEngine) -> None:
        (execution,) = await _enqueue(engine, app, 1)
        await dispatch(redis_url, engine)
        task_id = messages(redis_client)[0]["headers"]["id"]
        redis_client.flushall()
        push(redis_client, [ended(execution, new_id(), "success", "success", queue="kept", task="kept.add")])
        await Recorder(engine).apply(read(redis_client))
        assert await rows(engine, "SELECT task_id, status_id FROM windrow.executions") == [(task_id, 5)]
        assert await rows(engine, "SELECT 1 FROM windrow.outbox") == []

    within(migrated_database_url, use)
