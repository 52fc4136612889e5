"""What the operator tells Prometheus about itself; the catalogue says what each figure means."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from windrow.metrics.catalogue import build, exported_by
from windrow.scaling import Reason


class OperatorMetrics:
    """The figures of one operator process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()
        metrics = build(registry, [metric.name for metric in exported_by("operator")])
        self._reconcile: Histogram = metrics["windrow_operator_reconcile_seconds"]  # type: ignore[assignment]
        self._errors: Counter = metrics["windrow_operator_reconcile_errors_total"]  # type: ignore[assignment]
        self._tick: Histogram = metrics["windrow_operator_tick_seconds"]  # type: ignore[assignment]
        self._decisions: Counter = metrics["windrow_operator_decisions_total"]  # type: ignore[assignment]
        self._wrong: Counter = metrics["windrow_operator_wrong_victims_total"]  # type: ignore[assignment]
        self._calls: Counter = metrics["windrow_operator_api_calls_total"]  # type: ignore[assignment]
        self._leader: Gauge = metrics["windrow_operator_leader"]  # type: ignore[assignment]
        for reason in Reason:
            self._decisions.labels(str(reason))

    def reconciled(self, seconds: float) -> None:
        """One QueueWorker's objects were looked at, and written where they differed."""
        self._reconcile.observe(seconds)

    def reconcile_failed(self) -> None:
        """An object could not be written."""
        self._errors.inc()

    def ticked(self, seconds: float) -> None:
        """As `scaler.Meter.ticked`."""
        self._tick.observe(seconds)

    def decided(self, reason: str) -> None:
        """As `scaler.Meter.decided`."""
        self._decisions.labels(reason).inc()

    def wrong_victims(self, count: int) -> None:
        """As `scaler.Meter.wrong_victims`."""
        self._wrong.inc(count)

    def called(self, verb: str, resource: str, code: int) -> None:
        """As `api.Meter.called`."""
        self._calls.labels(verb, resource, str(code)).inc()

    def leads(self, yes: bool) -> None:
        """Whether this process leads."""
        self._leader.set(int(yes))
