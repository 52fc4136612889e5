"""`enqueue`: a call is accepted by the caller's own transaction, and only by it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.exceptions import EncodeError
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from tests.integration.acceptance import dispatch, in_session, make_app, messages, rows, within
from tests.integration.records_events import read
from windrow import enqueue
from windrow.authoring.enqueue import OutboxMissing
from windrow.records.recorder import Recorder
from windrow.records.repository import IN_OUTBOX, get_execution


@pytest.fixture
def app(redis_url: str) -> Celery:
    return make_app(redis_url)


def test_what_is_committed_is_published_with_the_ids_it_was_given(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str
) -> None:
    """Nothing is in Redis before; then the very message, its event, and after the record no row in the outbox."""
    add = app.tasks["kept.add"]

    async def use(engine: AsyncEngine) -> None:
        made = await in_session(engine, lambda session: enqueue(session, add, args=(1,), kwargs={"y": 2}))
        assert redis_client.keys("*") == []
        async with engine.connect() as connection:
            for name in (made.id, made.execution_id):
                found = await get_execution(connection, name)
                assert found is not None
                assert (str(found["id"]), found["state"], found["reason"]) == (made.execution_id, "ready", IN_OUTBOX)
        ((body,),) = await rows(engine, "SELECT body FROM windrow.outbox")
        assert await dispatch(redis_url, engine) == 1
        assert redis_client.lrange("kept", 0, -1) == [body]
        (message,) = messages(redis_client)
        assert message["headers"]["windrow"]["id"] == made.execution_id
        assert message["headers"]["id"] == made.id == message["properties"]["correlation_id"]
        assert message["headers"]["argsrepr"] == "(1,)"
        assert not made.repeated
        recorder = Recorder(engine)
        await recorder.apply(read(redis_client))
        kept = "SELECT e.task_id, m.body FROM windrow.executions e JOIN windrow.messages m ON m.execution_id = e.id"
        assert await rows(engine, kept) == [(made.id, body)]
        assert await rows(engine, "SELECT * FROM windrow.outbox") == []
        assert await dispatch(redis_url, engine) == 0

    within(migrated_database_url, use)


def test_a_message_is_the_one_that_delay_would_have_published(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str
) -> None:
    """Priority, headers, limits, links: what Celery makes of a call is the same on both ways."""
    add = app.tasks["kept.add"]
    options: dict[str, Any] = {"priority": 6, "headers": {"mine": 1}, "time_limit": 9, "link": add.s(5), "queue": "same"}

    async def use(engine: AsyncEngine) -> None:
        await asyncio.to_thread(add.apply_async, (1,), {"y": 2}, **options)
        await in_session(engine, lambda session: enqueue(session, add, args=(1,), kwargs={"y": 2}, **options))
        await dispatch(redis_url, engine)

    within(migrated_database_url, use)

    def bare(message: dict[str, Any]) -> Any:
        own = ("id", "root_id", "windrow", "correlation_id", "delivery_tag", "reply_to", "traceparent")
        parts = {name: {k: v for k, v in message[name].items() if k not in own} for name in ("headers", "properties")}
        return {**message, **parts, "body": None}

    first, second = messages(redis_client, "same\x06\x166")
    assert bare(first) == bare(second)
    assert sorted(first["properties"]) == sorted(second["properties"])


def test_what_is_rolled_back_never_was(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str
) -> None:
    """No row, no key, no message; the key is free for the next try."""
    add = app.tasks["kept.add"]

    async def use(engine: AsyncEngine) -> None:
        def call(session: AsyncSession) -> Any:
            return enqueue(session, add, args=(1,), idempotency_key="order 1")

        await in_session(engine, call, commit=False)
        assert await dispatch(redis_url, engine) == 0
        assert await rows(engine, "SELECT 1 FROM windrow.execution_keys") == []
        assert not (await in_session(engine, call)).repeated
        assert await dispatch(redis_url, engine) == 1

    within(migrated_database_url, use)
    assert len(messages(redis_client)) == 1


def test_the_same_key_again_gives_the_first_execution(app: Celery, redis_url: str, migrated_database_url: str) -> None:
    """Also from a session that waits for the other's commit; another task's same key is another key."""
    add, other = app.tasks["kept.add"], app.tasks["kept.other"]

    async def use(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as first, AsyncSession(engine) as second:
            one = await enqueue(first, add, args=(1,), idempotency_key="k")
            waiting = asyncio.create_task(enqueue(second, add, args=(1,), idempotency_key="k"))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await first.commit()
            two = await waiting
            three = await enqueue(second, other, idempotency_key="k")
            await second.commit()
        assert (two.execution_id, two.id, two.repeated) == (one.execution_id, one.id, True)
        assert not three.repeated
        assert await dispatch(redis_url, engine) == 2

    within(migrated_database_url, use)


def test_a_sync_session_needs_no_await(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str
) -> None:
    """A plain Session, and a plain Connection, do it at once."""
    add = app.tasks["kept.add"]

    async def use(engine: AsyncEngine) -> None:
        def in_sync(session: Session) -> list[str]:
            made = enqueue(session, add, args=(1,))
            return [made.id, enqueue(session.connection(), add, args=(2,)).id]

        ids = await in_session(engine, lambda session: session.run_sync(in_sync))
        assert await dispatch(redis_url, engine) == 2
        assert [message["headers"]["id"] for message in messages(redis_client)] == ids

    within(migrated_database_url, use)


def test_a_due_time_waits_in_redis_and_an_expiry_goes_along(
    app: Celery, redis_url: str, redis_client: redis.Redis, migrated_database_url: str
) -> None:
    """countdown, eta and expires count from the call; a due time that has passed when it is published is none."""
    add = app.tasks["kept.add"]
    past = datetime.now(UTC) - timedelta(seconds=5)

    async def use(engine: AsyncEngine) -> None:
        async def calls(session: AsyncSession) -> None:
            await enqueue(session, add, args=(1,), countdown=60, expires=600)
            await enqueue(session, add, args=(2,), eta=past, task_id="mine")

        await in_session(engine, calls)
        await dispatch(redis_url, engine)

    within(migrated_database_url, use)
    assert redis_client.zcard("windrow:delayed:kept") == 1
    (message,) = messages(redis_client)
    assert message["headers"]["id"] == "mine"
    told = [event for _, entry in read(redis_client) for event in entry]
    assert [event["due"] is None for event in told] == [False, True]
    assert [event["expires"] is None for event in told] == [False, True]


def test_another_database_gets_one_sentence_and_its_transaction_lives(app: Celery, database_url: str) -> None:
    """A session on a database without an outbox, or on no PostgreSQL at all: what must hold, and what to do."""
    add = app.tasks["kept.add"]

    async def use(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            with pytest.raises(OutboxMissing, match=r"must have Windrow's outbox .*`windrow migrate --outbox URL`") as caught:
                await enqueue(session, add, args=(1,))
            assert engine.url.password is None or engine.url.password not in str(caught.value)
            assert (await session.execute(text("SELECT 1"))).scalar() == 1

    within(database_url, use)
    with Session(create_engine("sqlite://")) as session, pytest.raises(OutboxMissing, match="must be one on PostgreSQL"):
        enqueue(session, add, args=(1,))


def test_bad_input_raises_before_anything_is_written(app: Celery, migrated_database_url: str) -> None:
    """No task, no session, no JSON, no key, a call that doesn't fit, a message that is too long: each is one sentence."""
    add = app.tasks["kept.add"]
    stock = Celery("stock", set_as_current=False).tasks["celery.backend_cleanup"]

    async def use(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            with pytest.raises(TypeError, match="must be a task of a Windrow app"):
                await enqueue(session, "kept.add")
            with pytest.raises(TypeError, match="must be a task of a Windrow app"):
                await enqueue(session, stock)
            with pytest.raises(TypeError, match="must be given an SQLAlchemy session or connection"):
                enqueue(engine, add)  # type: ignore[call-overload]
            with pytest.raises(EncodeError):
                await enqueue(session, add, args=(object(),))
            with pytest.raises(TypeError):
                await enqueue(session, add, args=(1, 2, 3))
            with pytest.raises(EncodeError, match="must be JSON"):
                await enqueue(session, add, args=(1,), serializer="pickle")
            for key in ("", "x" * 501, 7):
                with pytest.raises(ValueError, match="idempotency_key must be text of 1 to 500 characters"):
                    await enqueue(session, add, args=(1,), idempotency_key=key)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="producer must be left out"):
                await enqueue(session, add, args=(1,), producer=None)
            with pytest.raises(ValueError, match="at most 8 MiB"):
                await enqueue(session, add, args=("x" * 8 * 2**20,))
            await session.commit()
        assert await rows(engine, "SELECT 1 FROM windrow.outbox") == []

    within(migrated_database_url, use)
