"""A full Redis refuses new tasks with one sentence, and lets what runs finish."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import group
from kombu.exceptions import OperationalError

from tests.apps import steps
from tests.integration.test_canvas_chords import Part
from tests.workers import producer
from windrow.authoring.chords import begin, part_returned
from windrow.authoring.owed import owed_by
from windrow.local.servers import EmbeddedRedis

SENTENCE = r"publishing .* was refused: Redis must have room for a new task, and its memory is used up \(maxmemory\)"


@pytest.fixture
def full(state_dir: Path) -> Iterator[redis.Redis]:
    """A full Redis whose producer has published before."""
    with EmbeddedRedis(state_dir) as server, redis.Redis.from_url(server.url) as client:
        producer(server.url, steps.app)
        steps.follow.delay(0)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        yield client


def test_a_new_task_is_refused_as_a_whole(full: redis.Redis) -> None:
    """However it is published: at once one sentence, and nothing of the task is in Redis."""
    calls: list[Any] = [
        lambda: steps.follow.delay(1),
        lambda: steps.follow.apply_async((1,), countdown=60),
        lambda: steps.follow.apply_async((1,), compression="gzip"),
        lambda: group(steps.follow.s(1), steps.follow.s(2)).delay(),
        lambda: asyncio.run(steps.follow.adelay(1)),
    ]
    for call in calls:
        with pytest.raises(OperationalError, match=SENTENCE):
            call()
    assert (full.llen("celery"), full.xlen("windrow:events"), full.keys("windrow:delayed:*")) == (1, 1, [])


def test_what_an_attempt_owes_and_its_result_pass(full: redis.Redis) -> None:
    """Next steps are published, results stored, parts counted and bodies published though Redis is full."""
    with owed_by("an execution"):
        steps.follow.delay(1)
        steps.follow.apply_async((1,), countdown=60)
    assert (full.llen("celery"), full.zcard("windrow:delayed:celery")) == (2, 1)
    backend = steps.app.backend
    backend.store_result("one", "value", "SUCCESS")
    assert steps.app.AsyncResult("one").get(timeout=2) == "value"
    assert 0 < full.ttl("celery-task-meta-one") <= 86400
    begin(backend, "G", 1)
    part_returned(backend, Part("one", 0), "SUCCESS", "x")
    assert full.llen("body") == 1
