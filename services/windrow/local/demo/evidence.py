"""What the records and the metrics say about a replay, and whether they agree with the producer."""

from __future__ import annotations

import asyncio
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from windrow.local.demo.inputs import TASKS

FINAL_COUNT = "select coalesce(sum(value), 0) from windrow.totals where kind = 'finished' and task = any($1)"
_BY_STATE = """
select e.queue, s.code, s.id >= 5 as final, count(*)
from windrow.executions e join windrow.execution_statuses s on s.id = e.status_id
where e.task_id = any($1) group by 1, 2, 3
"""
_ATTEMPTS = """
select e.queue, count(*) as attempts, count(*) filter (where a.outcome = 'retried') as retries,
       count(*) filter (where a.error is not null) as failures
from windrow.attempts a join windrow.executions e on e.id = a.execution_id
where e.task_id = any($1) and a.outcome is not null group by 1
"""
_WAITS = """
select queue, percentile_cont(array[0.5, 0.95]) within group (order by wait_s)
from windrow.executions where task_id = any($1) and wait_s is not null group by 1
"""

METRICS = {
    "windrow_executions_finished_total": "finished",
    "windrow_attempts_total": "attempts",
    "windrow_retries_total": "retries",
    "windrow_failures_total": "failures",
}
"""The exact totals on /metrics, and what they are called here."""


@dataclass(frozen=True)
class Records:
    """What SQL says about the accepted executions, by queue; waits in seconds."""

    finished: Mapping[str, Counter[str]]
    unfinished: Counter[str]
    counted: Mapping[str, Counter[str]]
    waits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def finals(self) -> Counter[str]:
        """Executions by final state."""
        return sum(self.finished.values(), Counter[str]())


def ask(url: str, ids: Sequence[str]) -> Records:
    """Ask the records about these task ids."""

    async def run() -> Records:
        connection = await asyncpg.connect(url)
        try:
            finished: dict[str, Counter[str]] = {}
            unfinished: Counter[str] = Counter()
            for queue, code, final, count in await connection.fetch(_BY_STATE, ids):
                if final:
                    finished.setdefault(queue, Counter())[code] += count
                else:
                    unfinished[queue] += count
            counted = {
                row["queue"]: Counter({name: row[name] for name in ("attempts", "retries", "failures")})
                for row in await connection.fetch(_ATTEMPTS, ids)
            }
            waits = {queue: (float(found[0]), float(found[1])) for queue, found in await connection.fetch(_WAITS, ids)}
            return Records(finished, unfinished, counted, waits)
        finally:
            await connection.close()

    return asyncio.run(run())


def finals_so_far(url: str) -> int:
    """How many executions of the demo's tasks have reached a final state, ever."""

    async def run() -> int:
        connection = await asyncpg.connect(url)
        try:
            return int(await connection.fetchval(FINAL_COUNT, list(TASKS)))
        finally:
            await connection.close()

    return asyncio.run(run())


def scrape(url: str) -> dict[str, Counter[str]]:
    """The exact totals of the demo's tasks from the server at `url`: by name, then queue. Raises OSError."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310 - the server's own http:// address
        text = answer.read().decode()
    found: dict[str, Counter[str]] = {name: Counter() for name in METRICS.values()}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = METRICS.get(sample.name)
            if name and sample.labels.get("task") in TASKS:
                found[name][sample.labels["queue"]] += int(sample.value)
    return found


def since(before: Mapping[str, Counter[str]], after: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    """What was counted between two scrapes: by queue, then name."""
    queues = {queue for counted in after.values() for queue in counted}
    return {queue: {name: after[name][queue] - before[name][queue] for name in after} for queue in sorted(queues)}


def disagreements(accepted: Mapping[str, int], records: Records, metrics: Mapping[str, Mapping[str, int]]) -> list[str]:
    """One sentence for each figure on which producer, records and metrics differ; none when all is accounted for."""
    found: list[str] = []
    for queue in sorted(accepted.keys() | records.finished.keys() | {q for q in metrics if any(metrics[q].values())}):
        told = metrics.get(queue, {})
        finished = sum(records.finished.get(queue, Counter[str]()).values())
        if not accepted.get(queue, 0) == finished == told.get("finished", 0):
            found.append(
                f"{queue}: accepted, finished by the records and finished by the metrics must be equal, "
                f"they are {accepted.get(queue, 0)}, {finished} and {told.get('finished', 0)}"
            )
        for name in ("attempts", "retries", "failures"):
            recorded: Any = records.counted.get(queue, Counter[str]())[name]
            if recorded != told.get(name, 0):
                found.append(
                    f"{queue}: {name} must be the same in records and metrics, they are {recorded} and {told.get(name, 0)}"
                )
    return found
