"""`durable=True`: accepted means in PostgreSQL, whatever becomes of Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import group
from kombu.exceptions import EncodeError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.acceptance import make_app, messages, rows, within
from tests.integration.records_events import read
from windrow.authoring import database
from windrow.authoring.durable import NotAccepted
from windrow.authoring.loop import run_async
from windrow.authoring.owed import owed_by
from windrow.local.servers import EmbeddedRedis
from windrow.records.recorder import Recorder


@pytest.fixture
def on_database(migrated_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """DATABASE_URL for this test, with an engine of its own."""

    async def forget() -> None:
        made, database._shared = database._shared, None
        if made is not None:
            await super(database.SharedEngine, made).dispose()

    run_async(forget())
    monkeypatch.setenv("DATABASE_URL", migrated_database_url)
    yield migrated_database_url
    run_async(forget())


WAYS: dict[str, Callable[[Any], Any]] = {
    "apply_async": lambda task: task.apply_async((1,), {"y": 2}, durable=True),
    "signature": lambda task: task.s(1, y=2).set(durable=True).apply_async(),
    "await": lambda task: asyncio.run(task.aapply_async((1,), {"y": 2}, durable=True)),
    "group": lambda task: group(task.s(1, y=2)).apply_async(durable=True)[0],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_durable_call_is_in_the_database_and_then_in_redis(
    way: str, redis_url: str, redis_client: redis.Redis, on_database: str
) -> None:
    """One row, marked as published, and the same message on its queue; with the record the row goes."""
    made = WAYS[way](make_app(redis_url).tasks["kept.add"])

    async def use(engine: AsyncEngine) -> None:
        found = await rows(engine, "SELECT task_id, body, published_at IS NULL FROM windrow.outbox")
        assert found == [(made.id, redis_client.lindex("kept", 0), False)]
        await Recorder(engine).apply(read(redis_client))
        assert await rows(engine, "SELECT * FROM windrow.outbox") == []
        assert await rows(engine, "SELECT task_id FROM windrow.executions") == [(made.id,)]

    within(on_database, use)
    assert len(messages(redis_client)) == 1


def test_a_task_may_be_durable_and_a_call_say_otherwise(redis_url: str, redis_client: redis.Redis, on_database: str) -> None:
    """`@task(durable=True)` holds for delay(); `durable=False` wins."""
    app = make_app(redis_url)

    @app.task(name="kept.always", shared=False, durable=True)
    def always() -> None:
        return None

    always.delay()
    always.apply_async(durable=False)
    asyncio.run(always.adelay())
    told = [event.get("durable") for _, entry in read(redis_client) for event in entry]
    assert sorted(told, key=str) == [None, True, True]


def test_without_redis_it_is_accepted_all_the_same(state_dir: Path, on_database: str) -> None:
    """A Redis that is down: the call returns with its id within 3 s, and waits in the database."""
    server = EmbeddedRedis(state_dir)
    add = make_app(server.start()).tasks["kept.add"]
    server.stop()
    made = add.apply_async((1,), durable=True)

    async def use(engine: AsyncEngine) -> None:
        assert await rows(engine, "SELECT task_id FROM windrow.outbox") == [(made.id,)]

    within(on_database, use)


def test_without_a_database_nothing_is_accepted(
    redis_url: str, redis_client: redis.Redis, on_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No DATABASE_URL, and one that nobody answers at: one sentence each, nothing on any queue, no password shown."""
    add = make_app(redis_url).tasks["kept.add"]
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(NotAccepted, match=r"DATABASE_URL must say .* kept\.add .* durable=True, but it is not set"):
        add.apply_async((1,), durable=True)
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:secret@127.0.0.1:1/nowhere")
    with pytest.raises(NotAccepted, match=r"the database must accept the call of kept\.add within 5 s") as caught:
        add.apply_async((1,), durable=True)
    assert "secret" not in str(caught.value)
    assert redis_client.keys("*") == []


def test_a_database_without_tables_says_what_to_do(
    redis_url: str, database_url: str, on_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first migration."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    with pytest.raises(NotAccepted, match=r"windrow migrate.*does not exist"):
        make_app(redis_url).tasks["kept.add"].apply_async((1,), durable=True)


def test_bad_arguments_raise_before_anything_is_written(redis_url: str, redis_client: redis.Redis, on_database: str) -> None:
    """No JSON, and a `durable` that is neither yes nor no."""
    add = make_app(redis_url).tasks["kept.add"]
    with pytest.raises(EncodeError):
        add.apply_async((object(),), durable=True)
    with pytest.raises(TypeError, match="durable must be True or False, not 'yes'"):
        add.apply_async((1,), durable="yes")
    within(on_database, lambda engine: _empty(engine))
    assert redis_client.keys("*") == []


async def _empty(engine: AsyncEngine) -> None:
    assert await rows(engine, "SELECT * FROM windrow.outbox") == []


def test_a_durable_message_carries_no_trace_of_the_option(redis_url: str, redis_client: redis.Redis, on_database: str) -> None:
    """`durable` is Windrow's word: no header and no property of the message."""
    make_app(redis_url).tasks["kept.add"].apply_async((1,), durable=True)
    (message,) = messages(redis_client)
    assert "durable" not in json.dumps(message)


def test_what_an_attempt_owes_goes_out_with_its_end(redis_url: str, redis_client: redis.Redis, on_database: str) -> None:
    """The next step of a chain is published once, under its owner's name: not by way of the outbox."""
    add = make_app(redis_url).tasks["kept.add"]
    with owed_by("an execution"):
        for _ in range(2):
            add.apply_async((1,), task_id="frozen", durable=True)
    assert len(messages(redis_client)) == 1
    within(on_database, _empty)
