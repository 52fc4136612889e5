"""What is wrong with one queue: each cause has a queue of its own."""

from __future__ import annotations

from collections.abc import Iterator

from tests.drill import tasks
from tests.drill.cause import Cause, expect
from tests.drill.stage import Stage
from windrow.broker import admin


def _stall(stage: Stage) -> None:
    admin.pin(stage.client, "stalled", 0)
    for _ in range(20):
        stage.producer.call(tasks.work, "stalled", 0.01)


def _release(queue: str) -> None:
    raise NotImplementedError


STALLED = Cause(
    "queue_stalled",
    "twenty tasks wait in a queue whose workers a person fixed at 0",
    expect(["QueueStalled"], "stalled"),
    _stall,
    lambda stage: admin.release(stage.client, "stalled"),
)
