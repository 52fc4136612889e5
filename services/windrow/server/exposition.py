"""The server's metrics as Prometheus text: a pure function of the totals and of one look at the queues.

Written here and not by prometheus_client, which takes seconds for the hundred thousand series a server may have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from windrow.broker.observe import QueueReading
from windrow.metrics.catalogue import BY_NAME, FINAL_STATES, OTHER
from windrow.records.fold import ATTEMPTS, FAILURES, FINISHED, REFUSALS, RETRIES
from windrow.records.outbox import Backlog
from windrow.scaling import Reason

Series = tuple[tuple[str, ...], float]

REJECTED: Final = "rejected"
TASK_STATES: Final = tuple(state for state in FINAL_STATES if state != REJECTED)
"""The final states that every known task has a series for; `rejected` has one for each queue, under task `other`."""


@dataclass(frozen=True)
class Figures:
    """What a leading server knows at a scrape; None where its source can't be read."""

    totals: Iterable[tuple[str, str, str, str, int]] | None
    readings: Mapping[str, QueueReading] | None
    decisions: Mapping[tuple[str, str], int] | None
    lag_s: float | None
    dropped: int
    outbox: Backlog | None = None


def render(leader: bool, figures: Figures | None) -> str:
    """The page for Prometheus; of a server that does not lead, only that."""
    parts = [_family("windrow_leader", [((), float(leader))])]
    if figures is not None:
        if figures.totals is not None:
            parts += _totals(figures.totals)
        if figures.readings is not None:
            parts += _readings(figures.readings)
        if figures.decisions is not None:
            # At zero for each reason of each queue that is known, so that a first decision is seen as one.
            known = dict.fromkeys(((queue, str(reason)) for queue in figures.readings or () for reason in Reason), 0)
            parts.append(_family("windrow_scaling_decisions_total", sorted({**known, **figures.decisions}.items())))
        if figures.lag_s is not None:
            parts.append(_family("windrow_records_lag_seconds", [((), figures.lag_s)]))
        parts.append(_family("windrow_records_dropped_total", [((), figures.dropped)]))
        if figures.outbox is not None:
            parts.append(_family("windrow_outbox_rows", [((), figures.outbox.rows)]))
            parts.append(_family("windrow_outbox_oldest_age_seconds", [((), figures.outbox.age_s)]))
    return "".join(parts)


def _totals(totals: Iterable[tuple[str, str, str, str, int]]) -> list[str]:
    values: dict[str, dict[tuple[str, ...], float]] = {FINISHED: {}, ATTEMPTS: {}, RETRIES: {}, FAILURES: {}, REFUSALS: {}}
    rows = list(totals)
    pairs = dict.fromkeys((queue, task) for _, queue, task, _, _ in rows)
    for queue in dict.fromkeys(queue for queue, _ in pairs):
        values[FINISHED][(queue, OTHER, REJECTED)] = 0
        values[FAILURES][(queue, OTHER, OTHER)] = 0
        values[REFUSALS].update(dict.fromkeys(((queue, "finish"), (queue, "copy")), 0))
    for pair in pairs:
        for state in TASK_STATES:
            values[FINISHED][(*pair, state)] = 0
        values[ATTEMPTS][pair] = values[RETRIES][pair] = 0
    for kind, queue, task, label, value in rows:
        if kind == REFUSALS:
            values[kind][(queue, label)] = values[kind].get((queue, label), 0) + value
        elif kind in values:
            values[kind][(queue, task, label) if kind in (FINISHED, FAILURES) else (queue, task)] = value
    return [
        _family("windrow_executions_finished_total", values[FINISHED].items()),
        _family("windrow_attempts_total", values[ATTEMPTS].items()),
        _family("windrow_retries_total", values[RETRIES].items()),
        _family("windrow_failures_total", values[FAILURES].items()),
        _family("windrow_refusals_total", values[REFUSALS].items()),
    ]


def _readings(readings: Mapping[str, QueueReading]) -> list[str]:
    tasks: list[Series] = []
    ages: list[Series] = []
    workers: list[Series] = []
    for queue, reading in sorted(readings.items()):
        tasks += [((queue, state), getattr(reading, state)) for state in ("ready", "delayed", "in_flight")]
        ages.append(((queue,), reading.oldest_age or 0.0))
        counts = {"busy": 0, "idle": 0, "draining": 0}
        for worker in reading.workers:
            counts["draining" if worker.drain else "busy" if worker.busy else "idle"] += 1
        workers += [((queue, state), number) for state, number in counts.items()]
    return [
        _family("windrow_queue_tasks", tasks),
        _family("windrow_queue_oldest_age_seconds", ages),
        _family("windrow_workers", workers),
    ]


def _family(name: str, series: Iterable[Series]) -> str:
    metric = BY_NAME[name]
    lines = [f"# HELP {name} {_escaped(metric.meaning, quotes=False)}\n# TYPE {name} {metric.kind}\n"]
    for values, number in series:
        labels = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(metric.labels, values, strict=True))
        lines.append(f"{name}{{{labels}}} {number}\n" if labels else f"{name} {number}\n")
    return "".join(lines)


def _escaped(text: str, *, quotes: bool = True) -> str:
    made = text.replace("\\", "\\\\").replace("\n", "\\n")
    return made.replace('"', '\\"') if quotes else made
