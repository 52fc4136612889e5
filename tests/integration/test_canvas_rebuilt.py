"""Chords that Redis has lost are put back from the records, and complete once."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.apps import steps
from tests.integration.acceptance import platform, rows, within
from tests.integration.records_events import read
from tests.integration.test_canvas_chords import Part
from tests.waiting import wait_until
from tests.workers import producer, working
from windrow.authoring import chords
from windrow.authoring.chords import begin, part_returned
from windrow.authoring.owed import owed_by
from windrow.broker.events import fields, new_id
from windrow.server.chords import rebuild
from windrow.server.platform import Platform


class Here:
    """A leading server's parts on the test's Redis and database."""

    def __init__(self, url: str, client: redis.Redis, engine: AsyncEngine) -> None:
        self.client, self.engine = client, engine
        self.platform: Platform = platform(url, engine)
        self.platform.token = "me"

    async def record(self) -> None:
        await self.platform.recorder.apply(read(self.client))

    async def lose(self) -> None:
        """Record what is on the stream, then empty Redis."""
        await self.record()
        self.client.flushall()
        self.client.set("windrow:leader", "me")
        await self.platform.recorder.rewind()

    async def open(self) -> list[tuple[Any, ...]]:
        return await rows(self.engine, "SELECT group_id, size FROM windrow.chords")


@pytest.fixture
def here(redis_url: str, redis_client: redis.Redis, migrated_database_url: str) -> Callable[..., Any]:
    producer(redis_url, steps.app)

    def run(use: Callable[[Here], Awaitable[Any]]) -> Any:
        async def inside(engine: AsyncEngine) -> Any:
            made = Here(redis_url, redis_client, engine)
            try:
                return await use(made)
            finally:
                made.platform.client.close()

        return within(migrated_database_url, inside)

    return run


async def _part(task_id: str, index: int, result: Any = "x") -> None:
    await asyncio.to_thread(part_returned, steps.app.backend, Part(task_id, index), "SUCCESS", result)


def test_a_lost_chord_completes_with_the_parts_that_were_counted(here: Callable[..., Any]) -> None:
    """The part that was counted before the loss goes to the body beside the one that ends after it; then no rows are left."""

    async def use(here: Here) -> None:
        begin(steps.app.backend, "G", 2)
        await _part("one", 0)
        await here.lose()
        assert await here.open() == [("G", 2)]
        assert await rebuild(here.platform) == 1
        assert await rebuild(here.platform) == 0  # it is there
        await _part("one", 0, "again")
        assert here.client.llen("body") == 0
        await _part("two", 1)
        assert here.client.llen("body") == 1
        await here.record()
        assert await here.open() == await rows(here.engine, "SELECT group_id, who FROM windrow.chord_parts") == []

    here(use)


def test_nothing_is_put_back_by_who_does_not_lead_or_beside_a_body_on_record(here: Callable[..., Any]) -> None:
    """Another server leads; or the body had been accepted: the chord stays as it is."""

    async def use(here: Here) -> None:
        begin(steps.app.backend, "G", 2)
        await _part("one", 0)
        await here.lose()
        here.client.set("windrow:leader", "another")
        assert await rebuild(here.platform) == 0
        here.client.set("windrow:leader", "me")
        steps.join.apply_async(([],), task_id="body")
        await here.record()
        assert await rebuild(here.platform) == 0
        assert here.client.keys("celery-taskset-meta-*") == []

    here(use)


def test_a_lost_chord_with_all_its_parts_publishes_its_body(
    here: Callable[..., Any], redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left to find it complete: a worker joins what is on record, in the header's order, and runs the body once."""

    def dies(*_: Any, **__: Any) -> str:
        raise KeyboardInterrupt

    async def use(here: Here) -> None:
        begin(steps.app.backend, "G", 2)
        await _part("two", 1, ["second"])
        with monkeypatch.context() as patch:
            patch.setattr(chords, "_go_on", dies)
            with pytest.raises(KeyboardInterrupt):
                part_returned(steps.app.backend, Part("one", 0), "SUCCESS", ["first"])
        await here.lose()
        assert await rebuild(here.platform) == 1
        assert await rebuild(here.platform) == 0
        with working(redis_url, tmp_path, queue="celery", app="tests.apps.steps:app") as work:
            work.start()
            body = await asyncio.to_thread(wait_until, lambda: here.client.lindex("body", 0), 20, "the body is published")
            assert json.loads(base64.b64decode(json.loads(body)["body"]))[0] == [[["first"], ["second"]]]
            assert here.client.llen("body") == 1
            await asyncio.to_thread(work.stop)
        await here.record()
        assert await here.open() == []

    here(use)


def test_what_a_repeated_attempt_had_published_is_known_again(here: Callable[..., Any]) -> None:
    """A step that was running when Redis was emptied runs again: its next step, which is on record, is not published again."""

    async def use(here: Here) -> None:
        first = steps.step.delay("a")
        (event,) = (event for _, found in read(here.client) for event in found)
        start = {
            "k": "started",
            "id": event["id"],
            "t": event["t"],
            "queue": "celery",
            "task": event["task"],
            "attempt": new_id(),
        }
        here.client.xadd("windrow:events", fields({**start, "retries": 0}))  # type: ignore[arg-type]
        with owed_by(event["id"]):
            steps.follow.apply_async((1,), task_id="next", parent_id=first.id)
        await here.lose()
        await rebuild(here.platform)
        assert 0 < here.client.ttl(f"windrow:sent:{event['id']}") <= 7 * 86400
        with owed_by(event["id"]):
            steps.follow.apply_async((1,), task_id="next", parent_id=first.id)
        assert here.client.llen("celery") == 0

    here(use)
