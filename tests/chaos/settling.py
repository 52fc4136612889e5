"""Waits until all that was accepted has come to its end, as far as it will."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

import redis

from tests.chaos import records
from tests.chaos.log import read_calls, read_lines
from tests.chaos.processes import Kind
from tests.chaos.stage import Stage


def settle(stage: Stage, kinds: Sequence[Kind], timeout: float, quiet: float) -> bool:
    """Wait until all that was accepted has a final on record; says whether it has.

    At most `timeout` seconds, and `quiet` in which no body starts or ends.
    """
    deadline = time.monotonic() + timeout
    calls = [call for call in read_calls(stage.folder / "calls") if call.accepted]
    seen, moved = (0, 0), time.monotonic()
    while time.monotonic() < min(deadline, moved + quiet):
        if (stage.watch.starts, stage.watch.ends) != seen:
            seen, moved = (stage.watch.starts, stage.watch.ends), time.monotonic()
        stage.top_up(kinds)
        with suppress(OSError, redis.RedisError, records.Unreadable):
            if _settled(stage, {call.task for call in calls if not call.expects}, [c.expects for c in calls]):
                return True
        time.sleep(0.3)
    return False


def _settled(stage: Stage, wanted: set[str], expects: Sequence[frozenset[str]]) -> bool:
    promised = frozenset().union(*expects)
    if promised and promised - {line.label for line in read_lines(stage.folder / "evidence") if line.what == "end"}:
        return False
    if not stage.windrow:
        stored = {
            key.decode().removeprefix("celery-task-meta-") for key in stage.client().scan_iter("celery-task-meta-*", 1000)
        }
        return wanted <= stored and not stage.client().exists("unacked")
    open_, final = records.count(stage.postgres.url)
    return not open_ and final >= len(wanted) and wanted <= records.final_tasks(stage.postgres.url)
