"""A trap of Celery on Redis; `tests/unit/test_broker_traps.py` says where each of the others is tested."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import Work, producer, working


@pytest.fixture
def work(redis_url: str, tmp_path: Path) -> Iterator[Work]:
    with working(redis_url, tmp_path) as made:
        producer(redis_url, evidence.app)
        yield made


def task(name: str) -> Any:
    return evidence.app.tasks[f"tests.apps.evidence.{name}"]


def count(work: Work, what: str) -> int:
    return sum(line[2] == what for line in work.lines())


def test_an_acknowledgement_waits_for_no_other_task(work: Work) -> None:
    """A short task beside a long one leaves the in-flight set once it has ended, the long one only then.

    Nor is there any of kombu's own notes of what is unacknowledged, which a visibility timeout of any queue would give back.
    """
    work.start(concurrency=2)
    task("work").apply_async((1.5,), queue="work")
    wait_until(lambda: count(work, "start") == 1, 10, "the long one runs")
    task("work").apply_async(queue="work")
    wait_until(lambda: count(work, "end") == 1, 5, "the short one has ended", pause=0.005)
    ended = time.monotonic()
    (inflight,) = work.client.keys("windrow:inflight:*")
    wait_until(lambda: work.client.hlen(inflight) == 1, 1, "the short one is acknowledged", pause=0.005)
    assert time.monotonic() - ended < 0.5
    assert count(work, "end") == 1
    assert not work.client.keys("unacked*")
    wait_until(lambda: work.client.hlen(inflight) == 0, 5, "the long one is acknowledged after its own end")
    assert count(work, "end") == 2
