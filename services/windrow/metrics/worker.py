"""A worker's live figures: one registry in its main process, cheap enough for every attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, make_wsgi_app

from windrow.metrics.catalogue import (
    OTHER,
    OUTCOMES,
    RECYCLE_REASONS,
    WORKER_ERRORS,
    WORKER_TASKS,
    RecycleReason,
    build,
    exported_by,
)

Page = tuple[str, list[tuple[str, str]], bytes]
"""An HTTP answer: its status (`200 OK`), its headers, its body."""


class WorkerMetrics:
    """What one worker tells Prometheus about its attempts; all methods may be called from any thread.

    Task names and errors past the catalogue's limits are counted under `other`.
    """

    def __init__(self, registry: CollectorRegistry, queue: str, slots: int) -> None:
        # A worker's registry holds nothing but these; `_created` would double its series.
        disable_created_metrics()
        self._queue = queue
        self._slots = slots
        metrics = build(registry, [metric.name for metric in exported_by("worker")])
        self._attempts: Counter = metrics["windrow_task_attempts_total"]  # type: ignore[assignment]
        self._retries: Counter = metrics["windrow_task_retries_total"]  # type: ignore[assignment]
        self._failures: Counter = metrics["windrow_task_failures_total"]  # type: ignore[assignment]
        recycles: Counter = metrics["windrow_worker_recycles_total"]  # type: ignore[assignment]
        self._recycles = {reason: recycles.labels(queue, reason) for reason in RECYCLE_REASONS}
        duration: Histogram = metrics["windrow_task_duration_seconds"]  # type: ignore[assignment]
        wait: Histogram = metrics["windrow_task_queue_wait_seconds"]  # type: ignore[assignment]
        gauge: Gauge = metrics["windrow_worker_slots"]  # type: ignore[assignment]
        self._observe_duration = duration.labels(queue).observe
        self._observe_wait = wait.labels(queue).observe
        self._busy = gauge.labels(queue, "busy")
        self._idle = gauge.labels(queue, "idle")
        self._outcomes: dict[tuple[str, str], Counter] = {}
        self._retried: dict[str, Counter] = {}
        self._errors: dict[tuple[str, str], Counter] = {}
        self._scrape = make_wsgi_app(registry)
        self.slots(0)
        self.known([OTHER])
        self._errors[(OTHER, OTHER)] = self._failures.labels(queue, OTHER, OTHER)

    def known(self, tasks: Iterable[str]) -> None:
        """Give each task its series at zero before its first event."""
        for task in tasks:
            self._name(task)

    def started(self, wait_s: float) -> None:
        """An attempt started after `wait_s` seconds of being ready."""
        self._observe_wait(wait_s)

    def ended(self, task: str, outcome: str, run_s: float | None) -> None:
        """An attempt ended with `outcome` after `run_s` seconds; None when no body ran."""
        counter = self._outcomes.get((task, outcome))
        if counter is None:
            counter = self._outcomes[(self._name(task), outcome if outcome in OUTCOMES else "failed")]
        counter.inc()
        if run_s is not None:
            self._observe_duration(run_s)

    def retried(self, task: str) -> None:
        """An attempt of `task` asked for a retry."""
        counter = self._retried.get(task)
        if counter is None:
            counter = self._retried[self._name(task)]
        counter.inc()

    def failed(self, task: str, error: str) -> None:
        """An attempt of `task` ended with an exception of class `error`."""
        counter = self._errors.get((task, error))
        if counter is None:
            name = self._name(task)
            if len(self._errors) >= WORKER_ERRORS:
                error = OTHER
            counter = self._errors.setdefault((name, error), self._failures.labels(self._queue, name, error))
        counter.inc()

    def recycled(self, reason: RecycleReason, times: int = 1) -> None:
        """A process of the worker was replaced for this reason."""
        self._recycles[reason].inc(times)

    def slots(self, busy: int) -> None:
        """`busy` slots run a task now."""
        self._busy.set(busy)
        self._idle.set(max(self._slots - busy, 0))

    def page(self, asked: Mapping[str, str]) -> Page:
        """What a scrape is answered; `asked`: `QUERY_STRING`, `HTTP_ACCEPT` and `HTTP_ACCEPT_ENCODING` as in WSGI."""
        told: list[Any] = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", **asked}
        body = b"".join(self._scrape(environ, lambda *head: told.extend(head)))
        return told[0], told[1], body

    def _name(self, task: str) -> str:
        """The label value for `task`, with its series made."""
        if task in self._retried:
            return task
        if len(self._retried) > WORKER_TASKS:
            return OTHER
        for outcome in OUTCOMES:
            self._outcomes[(task, outcome)] = self._attempts.labels(self._queue, task, outcome)
        self._retried[task] = self._retries.labels(self._queue, task)
        return task
