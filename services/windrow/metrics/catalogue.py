"""Every metric, declared once as data; docs/metrics.md, the workers and the server are built from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

Kind = Literal["counter", "gauge", "histogram"]
Exporter = Literal["worker", "server", "leader", "operator"]
Source = Literal["exact", "live"]

DURATION_BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds in seconds; with +Inf twelve buckets, from a no-op to the longest task that is common."""

OUTCOMES: Final = ("success", "failed", "retried", "timed_out", "killed", "handed_back", "refused")
"""How an attempt can end."""

RecycleReason = Literal["tasks", "memory"]
RECYCLE_REASONS: Final[tuple[RecycleReason, ...]] = ("tasks", "memory")
"""Why a worker's process is replaced: `recycle.tasks` or `recycle.memory` of its spec."""

FINAL_STATES: Final = ("success", "failed", "timed_out", "lost", "expired", "cancelled", "rejected")
"""How an execution can end; `windrow.records.states` says what each means."""

OTHER: Final = "other"
"""The label value that stands for everything past a limit on the number of label values."""

WORKER_TASKS: Final = 150
"""Task names a worker gives labels of their own: 8 series each, so that a worker stays under 2,000 series."""

WORKER_ERRORS: Final = 300
"""Pairs of task and error class a worker gives labels of their own."""

SERVER_TASKS: Final = 9_000
"""Pairs of queue and task the server gives labels of their own: 8 series each, to stay under 100,000 series."""

SERVER_ERRORS: Final = 9_000
"""Triples of queue, task and error class the server gives labels of their own."""


@dataclass(frozen=True)
class Metric:
    """One metric family: what it is called, what it counts, and who exports it."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    meaning: str
    exporter: Exporter
    source: Source
    counted: str
    """Where and when the figure is taken."""
    buckets: tuple[float, ...] = ()


_IN_TRANSACTION = "PostgreSQL, in the transaction that writes the records"

CATALOGUE: Final[tuple[Metric, ...]] = (
    Metric(
        "windrow_executions_finished_total",
        "counter",
        ("queue", "task", "state"),
        "executions",
        "Executions that reached a final state; each counts once. `rejected` stands under task `other`: its task "
        "name is the sender's word.",
        "leader",
        "exact",
        _IN_TRANSACTION,
    ),
    Metric(
        "windrow_attempts_total",
        "counter",
        ("queue", "task"),
        "attempts",
        "Attempts that ended, whatever their outcome.",
        "leader",
        "exact",
        _IN_TRANSACTION,
    ),
    Metric(
        "windrow_retries_total",
        "counter",
        ("queue", "task"),
        "attempts",
        "Attempts that ended in a retry.",
        "leader",
        "exact",
        _IN_TRANSACTION,
    ),
    Metric(
        "windrow_failures_total",
        "counter",
        ("queue", "task", "error"),
        "attempts",
        "Attempts that ended with an error, by the exception's class; retried ones too.",
        "leader",
        "exact",
        _IN_TRANSACTION,
    ),
    Metric(
        "windrow_refusals_total",
        "counter",
        ("queue", "reason"),
        "refusals",
        "What was kept from counting twice: `finish`, an attempt's end that came when its message had been given to others; "
        "`copy`, an exact copy of a message that was in flight or had ended.",
        "leader",
        "exact",
        _IN_TRANSACTION,
    ),
    Metric(
        "windrow_starts_total",
        "counter",
        ("queue", "result"),
        "attempts",
        "Attempts that started, of queues with a start objective: `in_time`, or `late` when they waited longer than it allows.",
        "leader",
        "exact",
        _IN_TRANSACTION,
    ),
    Metric(
        "windrow_attempt_logs_dropped_total",
        "counter",
        ("queue",),
        "attempts",
        "Attempts whose log was left out of their record, because the records were behind (docs/pressure.md).",
        "leader",
        "exact",
        _IN_TRANSACTION,
    ),
    Metric(
        "windrow_queue_tasks",
        "gauge",
        ("queue", "state"),
        "tasks",
        "Tasks of a queue: `ready`, `delayed`, or `in_flight` (taken by a worker and not finished).",
        "leader",
        "live",
        "Redis, read at most once a second",
    ),
    Metric(
        "windrow_queue_oldest_age_seconds",
        "gauge",
        ("queue",),
        "seconds",
        "How long the oldest ready task has waited; 0 when none is ready.",
        "leader",
        "live",
        "Redis, read at most once a second",
    ),
    Metric(
        "windrow_workers",
        "gauge",
        ("queue", "state"),
        "workers",
        "Workers of a queue: `busy`, `idle` or `draining`; `crashing`: wanted, but ending again and again before they serve.",
        "leader",
        "live",
        "Redis, read at most once a second",
    ),
    Metric(
        "windrow_workers_wanted",
        "gauge",
        ("queue",),
        "workers",
        "Workers that the last scaling decision asks for.",
        "leader",
        "live",
        "Redis, where the queue's scaler says it",
    ),
    Metric(
        "windrow_workers_max",
        "gauge",
        ("queue",),
        "workers",
        "The most workers that the autoscaler may ask for (`maxReplicas`).",
        "leader",
        "live",
        "Redis, where the queue's scaler says it",
    ),
    Metric(
        "windrow_queue_served",
        "gauge",
        ("queue",),
        "1 or 0",
        "1 when a QueueWorker, or a worker, serves the queue.",
        "leader",
        "live",
        "Redis, read at most once a second",
    ),
    Metric(
        "windrow_queue_paused",
        "gauge",
        ("queue",),
        "1 or 0",
        "1 while the queue is paused, by its spec or by a person.",
        "leader",
        "live",
        "Redis, read at most once a second",
    ),
    Metric(
        "windrow_queue_longest_run_seconds",
        "gauge",
        ("queue",),
        "seconds",
        "How long the attempt that has run the longest has run; 0 when none runs.",
        "leader",
        "live",
        "Redis, read at most once a second",
    ),
    Metric(
        "windrow_queue_run_limit_seconds",
        "gauge",
        ("queue",),
        "seconds",
        "The queue's soft time limit; the hard one where there is no soft one.",
        "leader",
        "live",
        "Redis, where the queue's scaler says it",
    ),
    Metric(
        "windrow_queue_wait_target_seconds",
        "gauge",
        ("queue",),
        "seconds",
        "Within which time the oldest ready task should start (`waitTarget`).",
        "leader",
        "live",
        "Redis, where the queue's scaler says it",
    ),
    Metric(
        "windrow_objective_target",
        "gauge",
        ("queue", "objective"),
        "ratio",
        "What the queue's spec promises: the share of `start`s in time, of `success`es.",
        "leader",
        "live",
        "Redis, where the queue's scaler says it",
    ),
    Metric(
        "windrow_objective_start_within_seconds",
        "gauge",
        ("queue",),
        "seconds",
        "Within which time attempts must start to be in time.",
        "leader",
        "live",
        "Redis, where the queue's scaler says it",
    ),
    Metric(
        "windrow_scaling_decisions_total",
        "counter",
        ("queue", "reason"),
        "decisions",
        "Scaling decisions that changed a queue's number of workers, by reason (docs/scaling.md).",
        "leader",
        "live",
        "Redis, where the scaler counts them",
    ),
    Metric(
        "windrow_records_lag_seconds",
        "gauge",
        (),
        "seconds",
        "Age of the oldest event that is not on record yet; 0 when all are.",
        "leader",
        "live",
        "the recorder, at each scrape",
    ),
    Metric(
        "windrow_records_dropped_total",
        "counter",
        (),
        "events",
        "Events that could not be recorded, each also in the log; must stay 0.",
        "leader",
        "live",
        "the recorder",
    ),
    Metric(
        "windrow_outbox_rows",
        "gauge",
        (),
        "calls",
        "Calls that a transaction has accepted (`enqueue`, `durable=True`) and that are not on their queues yet.",
        "leader",
        "live",
        "the outbox, read at most once a second",
    ),
    Metric(
        "windrow_outbox_oldest_age_seconds",
        "gauge",
        (),
        "seconds",
        "Age of the oldest of them; 0 when there is none.",
        "leader",
        "live",
        "the outbox, read at most once a second",
    ),
    Metric(
        "windrow_records_partitions_ahead_days",
        "gauge",
        (),
        "days",
        "For how many days after today (UTC) all tables have partitions.",
        "leader",
        "live",
        "PostgreSQL, read at most every ten seconds",
    ),
    Metric(
        "windrow_redis_memory_bytes",
        "gauge",
        (),
        "bytes",
        "Memory that Redis uses.",
        "leader",
        "live",
        "Redis, read at most once a second",
    ),
    Metric(
        "windrow_redis_memory_max_bytes",
        "gauge",
        (),
        "bytes",
        "Memory that Redis may use; 0 without a limit.",
        "leader",
        "live",
        "Redis, read at most once a second",
    ),
    Metric(
        "windrow_leader",
        "gauge",
        (),
        "1 or 0",
        "1 on the server that leads.",
        "server",
        "live",
        "each server",
    ),
    Metric(
        "windrow_redis_up",
        "gauge",
        (),
        "1 or 0",
        "1 while this server reaches Redis.",
        "server",
        "live",
        "each server",
    ),
    Metric(
        "windrow_database_up",
        "gauge",
        (),
        "1 or 0",
        "1 while this server reaches PostgreSQL.",
        "server",
        "live",
        "each server",
    ),
    Metric(
        "windrow_task_duration_seconds",
        "histogram",
        ("queue",),
        "seconds",
        "Running time of attempts.",
        "worker",
        "live",
        "the worker's main process, at an attempt's end",
        DURATION_BUCKETS,
    ),
    Metric(
        "windrow_task_queue_wait_seconds",
        "histogram",
        ("queue",),
        "seconds",
        "Time between being ready and starting.",
        "worker",
        "live",
        "the worker's main process, at an attempt's start",
        DURATION_BUCKETS,
    ),
    Metric(
        "windrow_worker_slots",
        "gauge",
        ("queue", "state"),
        "slots",
        "Slots of this worker: `busy` or `idle`.",
        "worker",
        "live",
        "the worker's main process",
    ),
    Metric(
        "windrow_task_attempts_total",
        "counter",
        ("queue", "task", "outcome"),
        "attempts",
        "Attempts as they end, by outcome; starts at 0 with the worker.",
        "worker",
        "live",
        "the worker's main process, at an attempt's end",
    ),
    Metric(
        "windrow_task_retries_total",
        "counter",
        ("queue", "task"),
        "attempts",
        "Retries as they are asked for.",
        "worker",
        "live",
        "the worker's main process",
    ),
    Metric(
        "windrow_task_failures_total",
        "counter",
        ("queue", "task", "error"),
        "attempts",
        "Attempts that ended with an error, as they happen, by the exception's class.",
        "worker",
        "live",
        "the worker's main process",
    ),
    Metric(
        "windrow_worker_recycles_total",
        "counter",
        ("queue", "reason"),
        "processes",
        "Processes that were replaced as the spec's `recycle` asks, by reason: `tasks` or `memory`. One that was ended at a "
        "hard limit is not among them (outcome `timed_out`), nor one that died (`killed`).",
        "worker",
        "live",
        "the worker's main process; with `asyncio` and `threads` its guard, when the next process has started",
    ),
    Metric(
        "windrow_operator_leader",
        "gauge",
        (),
        "1 or 0",
        "Whether this operator holds the Lease; over all operators the sum should be 1.",
        "operator",
        "live",
        "the operator's process",
    ),
    Metric(
        "windrow_operator_tick_seconds",
        "histogram",
        (),
        "seconds",
        "Reading all queues of one Redis, deciding for each and starting what follows.",
        "operator",
        "live",
        "the operator that leads, once a second for each Redis",
        (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    ),
    Metric(
        "windrow_operator_decisions_total",
        "counter",
        ("reason",),
        "decisions",
        "Decisions that changed a queue's number of workers, by reason.",
        "operator",
        "live",
        "the operator that leads",
    ),
    Metric(
        "windrow_operator_wrong_victims_total",
        "counter",
        (),
        "pods",
        "Pods that a ReplicaSet gave up though their workers had not drained; each still finishes in its grace.",
        "operator",
        "live",
        "the operator that leads",
    ),
    Metric(
        "windrow_operator_reconcile_seconds",
        "histogram",
        (),
        "seconds",
        "Comparing one QueueWorker's objects with what they should be, and writing what differs.",
        "operator",
        "live",
        "the operator that leads",
        (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    ),
    Metric(
        "windrow_operator_reconcile_errors_total",
        "counter",
        (),
        "writes",
        "Objects that could not be written, refused or not answered.",
        "operator",
        "live",
        "the operator that leads",
    ),
    Metric(
        "windrow_operator_api_calls_total",
        "counter",
        (
            "verb",
            "resource",
            "code",
        ),
        "calls",
        "Calls to the API server, watches left out; code 0: no answer.",
        "operator",
        "live",
        "the operator's process",
    ),
)

BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}


def build(registry: CollectorRegistry, names: Iterable[str]) -> dict[str, MetricWrapperBase]:
    """Make the named metrics in `registry`; raises KeyError for a name that is not in the catalogue."""
    return {name: _make(registry, BY_NAME[name]) for name in names}


def exported_by(*exporters: Exporter) -> tuple[Metric, ...]:
    """The metrics that the given exporters serve, in the catalogue's order."""
    return tuple(metric for metric in CATALOGUE if metric.exporter in exporters)


def _make(registry: CollectorRegistry, metric: Metric) -> MetricWrapperBase:
    if metric.kind == "counter":
        return Counter(metric.name, metric.meaning, metric.labels, registry=registry)
    if metric.kind == "gauge":
        return Gauge(metric.name, metric.meaning, metric.labels, registry=registry)
    return Histogram(metric.name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets)
