"""The reconciler puts back exactly what is nowhere, as it was, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
import redis
from celery import Celery
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.acceptance import make_app, platform, rows, within
from tests.integration.records_events import ended, push, read, started
from windrow.broker.events import new_id
from windrow.broker.keys import stored
from windrow.records import clean
from windrow.server import absence
from windrow.server.rebuilding import NotNow
from windrow.server.reconciling import Reconciler

Use = Callable[["Here"], Awaitable[Any]]


class Here:
    """A leading server's parts on the test's Redis and database, driven by hand."""

    def __init__(self, redis_url: str, client: redis.Redis, engine: AsyncEngine) -> None:
        self.client, self.engine = client, engine
        self.platform = platform(redis_url, engine)
        self.platform.token = "me"
        self.reconciler = Reconciler(self.platform)
        self.lead()

    def lead(self, token: str = "me") -> None:
        self.client.set("windrow:leader", token)

    async def record(self) -> None:
        """Put what is in the stream on record, and trim it, as the recorder does."""
        entries = read(self.client)
        await self.platform.recorder.apply(entries)
        for entry, _ in entries:
            self.client.xdel("windrow:events", entry)

    async def compare(self, *, everything: bool = True) -> tuple[int, int]:
        async with self.reconciler._connection() as connection:
            made = await self.reconciler.compare(connection, everything=everything)
        await self.record()
        return made.rebuilt, made.lost

    async def states(self) -> dict[str, str]:
        found = await rows(
            self.engine,
            "SELECT e.task_id, s.code FROM windrow.executions e JOIN windrow.execution_statuses s ON s.id = e.status_id",
        )
        return dict(found)  # type: ignore[arg-type]


@pytest.fixture
def app(redis_url: str) -> Celery:
    return make_app(redis_url)


@pytest.fixture
def here(redis_url: str, redis_client: redis.Redis, migrated_database_url: str) -> Callable[[Use], Any]:
    def run(use: Use) -> Any:
        async def inside(engine: AsyncEngine) -> Any:
            made = Here(redis_url, redis_client, engine)
            try:
                return await use(made)
            finally:
                await made.reconciler.close()
                made.platform.client.close()

        return within(migrated_database_url, inside)

    return run


async def call(app: Celery, *args: Any, **options: Any) -> str:
    """Publish a call; its task id."""
    return str((await asyncio.to_thread(app.tasks["kept.add"].apply_async, args, **options)).id)


def execution_of(client: redis.Redis, key: str = "kept", at: int = 0) -> str:
    return str(json.loads(client.lindex(key, at))["headers"]["windrow"]["id"])  # type: ignore[arg-type]


def test_an_emptied_redis_is_rebuilt_byte_for_byte(app: Celery, here: Callable[[Use], Any]) -> None:
    """Ready ones in their order and step, delayed ones with their due time; a second comparison finds nothing to do."""

    async def use(here: Here) -> None:
        for n in range(5):
            await call(app, n)
        await call(app, 9, priority=6)
        await call(app, 10, countdown=100)
        await here.record()
        lists = [here.client.lrange(key, 0, -1) for key in ("kept", "kept\x06\x166")]
        ((_, due),) = here.client.zrange("windrow:delayed:kept", 0, -1, withscores=True)  # type: ignore[misc]
        values = here.client.hvals("windrow:delayed:kept:messages")
        here.client.flushall()
        here.lead()
        assert await here.compare() == (7, 0)
        assert [here.client.lrange(key, 0, -1) for key in ("kept", "kept\x06\x166")] == lists
        ((_, again),) = here.client.zrange("windrow:delayed:kept", 0, -1, withscores=True)  # type: ignore[misc]
        assert abs(again - due) <= 1
        assert here.client.hvals("windrow:delayed:kept:messages") == values
        assert await here.compare() == (0, 0)
        assert sorted((await here.states()).values()) == ["delayed", *["ready"] * 6]

    here(use)


def test_a_queue_that_nobody_told_of_is_looked_at_before_anything_is_put_on_it(app: Celery, here: Callable[[Use], Any]) -> None:
    """What is on a queue that only a record names is there, too."""

    async def use(here: Here) -> None:
        await call(app, 1)
        await here.record()
        async with here.engine.begin() as connection:
            await connection.exec_driver_sql("DELETE FROM windrow.totals")
        here.client.srem("windrow:queues", "kept")
        here.client.delete("_kombu.binding.kept")
        assert await here.compare() == (0, 0)
        here.client.delete("kept")
        assert await here.compare() == (1, 0)

    here(use)


def test_of_a_retried_execution_the_newest_message_goes_back(app: Celery, here: Callable[[Use], Any]) -> None:
    """The retry's message, with its number; not the first one's."""

    async def use(here: Here) -> None:
        await call(app, 1)
        message = json.loads(here.client.lindex("kept", 0))
        execution = message["headers"]["windrow"]["id"]
        await here.record()
        message["headers"]["retries"] = 2
        message["properties"]["delivery_tag"] = "second"
        newest = json.dumps(message)
        attempt = new_id()
        accepted = {
            "k": "accepted", "id": execution, "t": clean.number(0), "task_id": message["headers"]["id"], "tag": "second",
            "queue": "kept", "task": "kept.add", "retries": 2, "message": newest,
        }  # fmt: skip
        push(here.client, [started(execution, attempt, queue="kept"), accepted])
        push(here.client, [ended(execution, attempt, None, "retried", queue="kept")])
        await here.record()
        here.client.flushall()
        here.lead()
        assert await here.compare() == (1, 0)
        assert here.client.lrange("kept", 0, -1) == [newest.encode()]

    here(use)


def test_what_was_running_starts_again_and_its_attempt_has_ended(app: Celery, here: Callable[[Use], Any]) -> None:
    """The old attempt is on record as killed; it counts no recovery."""

    async def use(here: Here) -> None:
        await call(app, 1)
        execution = execution_of(here.client)
        attempt = new_id()
        push(here.client, [started(execution, attempt, queue="kept")])
        await here.record()
        here.client.flushall()
        here.lead()
        assert await here.compare() == (1, 0)
        found = await rows(here.engine, "SELECT id, outcome FROM windrow.attempts")
        assert found == [(UUID(attempt), "killed")]
        ((state, reason, recoveries),) = await rows(here.engine, "SELECT status_id, reason, recoveries FROM windrow.executions")
        assert (state, reason, recoveries) == (1, absence.REBUILT, 0)
        assert here.client.llen("kept") == 1

    here(use)


def test_what_may_not_run_again_ends_lost(app: Celery, here: Callable[[Use], Any]) -> None:
    """No message was kept, or its body had started after an early acknowledgement: a final, with the reason."""

    @app.task(name="kept.secret", shared=False, queue="kept", redact=True)
    def secret(word: str) -> None:
        return None

    async def use(here: Here) -> None:
        hidden = (await asyncio.to_thread(secret.delay, "x")).id
        early = await call(app, 1)
        push(here.client, [{**started(execution_of(here.client), new_id(), queue="kept"), "early": True}])
        await here.record()
        here.client.flushall()
        here.lead()
        assert await here.compare() == (0, 2)
        assert await here.states() == {hidden: "lost", early: "lost"}
        reasons = dict(await rows(here.engine, "SELECT task_id, reason FROM windrow.executions"))  # type: ignore[arg-type]
        assert reasons == {hidden: absence.NOT_KEPT, early: absence.EARLY}
        assert here.client.llen("kept") == 0

    here(use)


def test_what_is_anywhere_is_left_alone(app: Celery, here: Callable[[Use], Any]) -> None:
    """In a list, delayed, in a worker's hands, in quarantine: each is found where it is."""

    async def use(here: Here) -> None:
        for n in range(4):
            await call(app, n, countdown=60 if n == 3 else None)
        await here.record()
        taken, isolated = here.client.rpop("kept"), here.client.rpop("kept")
        here.client.hset("windrow:inflight:kept/host/1/abc", "1", stored(0, "kept", taken))  # type: ignore[arg-type]
        here.client.rpush("windrow:quarantine:kept", stored(0, "kept", isolated))  # type: ignore[arg-type]
        assert await here.compare() == (0, 0)
        assert here.client.llen("kept") == 1

    here(use)


def test_of_what_something_was_told_meanwhile_nothing_is_concluded(
    app: Celery, here: Callable[[Use], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An execution of which an event comes on record during the comparison is somewhere, wherever the passes looked."""

    async def use(here: Here) -> None:
        await call(app, 1)
        execution = execution_of(here.client)
        await here.record()
        message = here.client.rpop("kept")
        assert message is not None
        caught_up = here.reconciler._caught_up

        async def told() -> None:
            push(here.client, [started(execution, new_id(), queue="kept")])
            await here.record()
            await caught_up()

        monkeypatch.setattr(here.reconciler, "_caught_up", told)
        assert await here.compare() == (0, 0)
        monkeypatch.undo()
        assert await here.compare() == (1, 0)

    here(use)


def test_a_final_that_is_still_in_the_stream_is_waited_for(app: Celery, here: Callable[[Use], Any]) -> None:
    """The records must have caught up: what has ended is nowhere, and is not lost."""

    async def use(here: Here) -> None:
        await call(app, 1)
        execution = execution_of(here.client)
        await here.record()
        here.client.delete("kept")
        push(here.client, [ended(execution, new_id(), "success", "success", queue="kept")])
        comparing = asyncio.create_task(here.compare())
        await asyncio.sleep(0.3)
        assert not comparing.done()
        await here.record()
        assert await comparing == (0, 0)
        assert here.client.llen("kept") == 0

    here(use)


@pytest.mark.parametrize("what", ["settling", "deposed"])
def test_nothing_is_put_back_while_workers_do_or_another_server_leads(
    what: str, app: Celery, here: Callable[[Use], Any]
) -> None:
    """The one step that puts back checks both itself."""

    async def use(here: Here) -> None:
        await call(app, 1)
        await here.record()
        here.client.flushall()
        here.lead("another" if what == "deposed" else "me")
        if what == "settling":
            here.client.set("windrow:settling", "1")
        with pytest.raises(NotNow):
            await here.compare()
        assert here.client.llen("kept") == 0

    here(use)


def test_what_is_held_or_has_ended_is_not_put_back(app: Celery, here: Callable[[Use], Any]) -> None:
    """The registry of the take is asked in the same step, should both passes have missed a message."""

    async def use(here: Here) -> None:
        await call(app, 1)
        await call(app, 2)
        await here.record()
        first, second = (json.loads(one) for one in here.client.lrange("kept", 0, -1))  # type: ignore[union-attr]
        here.client.delete("kept")
        here.client.hset("windrow:held", first["headers"]["id"], first["properties"]["delivery_tag"])
        here.client.sadd("windrow:spent:before", second["properties"]["delivery_tag"])
        assert await here.compare() == (0, 0)
        assert here.client.llen("kept") == 0

    here(use)


def test_the_slow_look_finds_a_list_that_somebody_deleted(
    app: Celery, here: Callable[[Use], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says that Redis lost data, and yet a message is nowhere: a suspect is compared, and put back."""
    monkeypatch.setattr(absence, "YOUNG_S", 0.0)

    async def use(here: Here) -> None:
        await call(app, 1)
        await here.record()
        async with here.reconciler._connection() as connection:
            await here.reconciler._look_for_suspects(connection)
            assert here.client.llen("kept") == 1
            here.client.delete("kept")
            await here.reconciler._look_for_suspects(connection)
            assert here.client.llen("kept") == 1

    here(use)


def test_a_restart_an_emptying_and_another_redis_are_noticed(here: Callable[[Use], Any]) -> None:
    """What the database remembers of Redis is compared with the Redis that is there, also by the next server."""

    async def use(here: Here) -> None:
        async with here.reconciler._connection() as connection:
            from windrow.records import unfinished

            assert await unfinished.known_broker(connection, "windrow:events") is None
            found = await here.reconciler._broker()
            known = await here.reconciler._settle(connection, found)
            assert await unfinished.known_broker(connection, "windrow:events") == known
            assert absence.loss(known, await here.reconciler._broker(), (0, 0)) is None
            here.client.flushall()
            assert "marker" in str(absence.loss(known, await here.reconciler._broker(), (0, 0)))

    here(use)
