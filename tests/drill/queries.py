"""Every query of every dashboard, asked of the drill's Prometheus and PostgreSQL over the whole drill: each must return data.

A viewer chooses one queue and one task; a query has data when it has some for one of the choices below, since no queue has all.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from tests.drill.stage import Stage
from tests.drill.tasks import work

STEP_S = 5
QUEUES = ("steady", "success-fast", "start-fast", "storm", "at-max", "crashing", "lost", "stuck")
TASKS = ("tests.drill.tasks.work", "tests.drill.tasks.fail", "tests.drill.tasks.again", "tests.drill.tasks.die_early")

_RUNNING = (
    "SELECT e.id FROM windrow.executions e JOIN windrow.execution_statuses s ON s.id = e.status_id WHERE s.code = 'running'"
)


def asked(stage: Stage, seconds: float, say: Callable[[str], None], without: Collection[str] = ()) -> dict[str, Any]:
    """Ask all of them about the last `seconds`; which are empty, and which were refused. Those about `without` are left out."""
    from deploy.monitoring.dashboards import View, queries

    stage.producer.call(work, "steady", 60.0)  # longer than all the asking takes
    stage.until(lambda: _postgres(stage)(_RUNNING), 60, "a running task is on record")
    end = datetime.now(UTC)
    start = end - timedelta(seconds=seconds)
    views = [
        View({"installation": ".*", "queue": queue, "task": task, "search": ""}, start, end, STEP_S * 1000, f"{STEP_S}s")
        for queue, task in itertools.product(QUEUES, TASKS)
    ]
    empty, refused, number = [], [], 0
    for same in zip(*(queries(view) for view in views), strict=True):
        if any(f"windrow_{exporter}_" in same[0].expr for exporter in without):
            continue
        number += 1
        name = f"{same[0].dashboard}: {same[0].panel}"
        ask = _prometheus(stage, start, end) if same[0].datasource == "prometheus" else _postgres(stage)
        try:
            if not any(ask(text) for text in dict.fromkeys(query.expr for query in same)):
                empty.append(name)
        except (ValueError, asyncpg.PostgresError) as error:
            refused.append(f"{name}: {error}")
    result = {"asked": number, "empty": empty, "refused": refused, "met": not empty and not refused}
    say(f"{'ok  ' if result['met'] else 'MISS'} {number} queries of dashboards, {len(empty)} empty, {len(refused)} refused")
    for sentence in (*(f"{name} must have data, and has none" for name in empty), *refused):
        say(f"       {sentence}")
    return result


def _prometheus(stage: Stage, start: datetime, end: datetime) -> Callable[[str], bool]:
    def ask(expr: str) -> bool:
        times = {"start": f"{start.timestamp():.3f}", "end": f"{end.timestamp():.3f}", "step": str(STEP_S)}
        return has_samples(stage.tower.api("query_range", query=expr, **times)["result"])

    return ask


def has_samples(matrix: Iterable[dict[str, Any]]) -> bool:
    """Whether there is a number in it; NaN is none."""
    return any(value != "NaN" for series in matrix for _, value in series["values"])


def _postgres(stage: Stage) -> Callable[[str], bool]:
    def ask(statement: str) -> bool:
        return has_values(asyncio.run(_fetched(stage.postgres.url, statement)))

    return ask


async def _fetched(url: str, statement: str) -> Sequence[Sequence[Any]]:
    link = await asyncpg.connect(url, timeout=10, command_timeout=30)
    try:
        found: Sequence[Sequence[Any]] = await link.fetch(statement)
        return found
    finally:
        await link.close(timeout=5)


def has_values(rows: Iterable[Sequence[Any]]) -> bool:
    """Whether there is a row with something in it."""
    return any(value is not None for row in rows for value in row)
