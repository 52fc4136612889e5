"""The server's metrics as Prometheus text: a pure function of the totals and of one look at the queues.

Written here and not by prometheus_client, which takes seconds for the hundred thousand series a server may have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from windrow.broker.observe import QueueReading
from windrow.broker.standing import Standing
from windrow.metrics.catalogue import BY_NAME, FINAL_STATES, OTHER
from windrow.records.fold import ATTEMPTS, FAILURES, FINISHED, IN_TIME, LATE, LOGS_DROPPED, REFUSALS, RETRIES, STARTS
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
    standings: Mapping[str, Standing] | None = None
    """What scalers say, by queue."""
    longest: Mapping[str, float] = field(default_factory=dict)
    """How long the longest running attempt of a queue has run, in seconds."""
    memory: tuple[int, int] | None = None
    """Bytes that Redis uses, and may use (0: no limit)."""
    days_ahead: int | None = None
    """For how many days after today there are partitions."""


@dataclass(frozen=True)
class Self:
    """What a server knows of itself."""

    leads: bool
    redis_up: bool = True
    database_up: bool = True


def render(server: Self, figures: Figures | None) -> str:
    """The page for Prometheus; of a server that does not lead, only what it knows of itself."""
    parts = [
        _family("windrow_leader", [((), float(server.leads))]),
        _family("windrow_redis_up", [((), float(server.redis_up))]),
        _family("windrow_database_up", [((), float(server.database_up))]),
    ]
    if figures is not None:
        if figures.totals is not None:
            parts += _totals(figures.totals, figures.standings or {}, figures.readings or ())
        if figures.readings is not None:
            parts += _readings(figures.readings, figures.standings, figures.longest)
        if figures.standings is not None:
            parts += _standings(figures.standings)
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
        if figures.memory is not None:
            used, most = figures.memory
            parts.append(_family("windrow_redis_memory_bytes", [((), used)]))
            parts.append(_family("windrow_redis_memory_max_bytes", [((), most)]))
        if figures.days_ahead is not None:
            parts.append(_family("windrow_records_partitions_ahead_days", [((), figures.days_ahead)]))
    return "".join(parts)


def _totals(
    totals: Iterable[tuple[str, str, str, str, int]], standings: Mapping[str, Standing], queues: Iterable[str]
) -> list[str]:
    """Task `other` of each of `queues` stands at zero before the queue's first event: what comes first is seen to come."""
    kinds = (FINISHED, ATTEMPTS, RETRIES, FAILURES, REFUSALS, STARTS, LOGS_DROPPED)
    values: dict[str, dict[tuple[str, ...], float]] = {kind: {} for kind in kinds}
    rows = list(totals)
    promised = {queue for queue, one in standings.items() if one.start_target is not None}
    for queue in dict.fromkeys([*sorted(promised), *(queue for kind, queue, *_ in rows if kind == STARTS)]):
        values[STARTS].update(dict.fromkeys(((queue, IN_TIME), (queue, LATE)), 0))
    pairs = dict.fromkeys((queue, OTHER) for queue in sorted(queues))
    pairs |= dict.fromkeys((queue, task) for kind, queue, task, _, _ in rows if kind not in (STARTS, LOGS_DROPPED))
    for queue in dict.fromkeys(queue for queue, _ in pairs):
        values[FINISHED][(queue, OTHER, REJECTED)] = 0
        values[FAILURES][(queue, OTHER, OTHER)] = 0
        values[LOGS_DROPPED][(queue,)] = 0
        values[REFUSALS].update(dict.fromkeys(((queue, "finish"), (queue, "copy")), 0))
    for pair in pairs:
        for state in TASK_STATES:
            values[FINISHED][(*pair, state)] = 0
        values[ATTEMPTS][pair] = values[RETRIES][pair] = 0
    for kind, queue, task, label, value in rows:
        if kind in (REFUSALS, STARTS):
            values[kind][(queue, label)] = values[kind].get((queue, label), 0) + value
        elif kind == LOGS_DROPPED:
            values[kind][(queue,)] = value
        elif kind in values:
            values[kind][(queue, task, label) if kind in (FINISHED, FAILURES) else (queue, task)] = value
    return [
        _family("windrow_executions_finished_total", values[FINISHED].items()),
        _family("windrow_attempts_total", values[ATTEMPTS].items()),
        _family("windrow_retries_total", values[RETRIES].items()),
        _family("windrow_failures_total", values[FAILURES].items()),
        _family("windrow_refusals_total", values[REFUSALS].items()),
        _family("windrow_starts_total", values[STARTS].items()),
        _family("windrow_attempt_logs_dropped_total", values[LOGS_DROPPED].items()),
    ]


def _readings(
    readings: Mapping[str, QueueReading], standings: Mapping[str, Standing] | None, longest: Mapping[str, float]
) -> list[str]:
    tasks: list[Series] = []
    ages: list[Series] = []
    workers: list[Series] = []
    served: list[Series] = []
    said = standings or {}
    for queue, reading in sorted(readings.items()):
        tasks += [((queue, state), getattr(reading, state)) for state in ("ready", "delayed", "in_flight")]
        ages.append(((queue,), reading.oldest_age or 0.0))
        counts = {"busy": 0, "idle": 0, "draining": 0, "crashing": said[queue].crashing if queue in said else 0}
        for worker in reading.workers:
            counts["draining" if worker.drain else "busy" if worker.busy else "idle"] += 1
        workers += [((queue, state), number) for state, number in counts.items()]
        served.append(((queue,), float(queue in said or bool(reading.workers))))
    known = sorted(readings)
    return [
        _family("windrow_queue_tasks", tasks),
        _family("windrow_queue_oldest_age_seconds", ages),
        _family("windrow_workers", workers),
        # Without a word of Redis on what scalers say, nobody may be called unserved.
        *([] if standings is None else [_family("windrow_queue_served", served)]),
        _family("windrow_queue_paused", [((queue,), float(readings[queue].paused)) for queue in known]),
        _family("windrow_queue_longest_run_seconds", [((queue,), longest.get(queue, 0.0)) for queue in known]),
    ]


def _standings(standings: Mapping[str, Standing]) -> list[str]:
    ordered = sorted(standings.items())
    targets: list[Series] = []
    for queue, one in ordered:
        promised = (("start", one.start_target), ("success", one.success_target))
        targets += [((queue, name), target) for name, target in promised if target is not None]
    within = [((queue,), one.start_within) for queue, one in ordered if one.start_within is not None]
    return [
        _family("windrow_workers_wanted", [((queue,), one.wanted) for queue, one in ordered]),
        _family("windrow_workers_max", [((queue,), one.most) for queue, one in ordered]),
        _family("windrow_queue_run_limit_seconds", [((queue,), one.run_limit) for queue, one in ordered]),
        _family("windrow_queue_wait_target_seconds", [((queue,), one.wait_target) for queue, one in ordered]),
        _family("windrow_objective_target", targets),
        _family("windrow_objective_start_within_seconds", within),
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
