"""A worker's live figures: right, bounded, and there before the first event."""

import pytest
from prometheus_client import CollectorRegistry

from windrow.metrics.catalogue import CATALOGUE, OUTCOMES
from windrow.metrics.worker import WorkerMetrics


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    return WorkerMetrics(registry, "default", 4)


def series(registry):
    return sum(len(family.samples) for family in registry.collect())


def test_series_of_known_tasks_stand_at_zero_before_the_first_event(metrics, registry):
    """`increase()` sees a task's first event only when its series was there before."""
    metrics.known(["a.task"])
    for outcome in OUTCOMES:
        labels = {"queue": "default", "task": "a.task", "outcome": outcome}
        assert registry.get_sample_value("windrow_task_attempts_total", labels) == 0
    assert registry.get_sample_value("windrow_task_retries_total", {"queue": "default", "task": "a.task"}) == 0
    assert registry.get_sample_value("windrow_worker_slots", {"queue": "default", "state": "idle"}) == 4


def test_each_event_counts_once(metrics, registry):
    """Attempts, retries, failures, waits and run times are counted where they happen."""
    metrics.started(0.2)
    metrics.ended("t", "retried", 0.3)
    metrics.retried("t")
    metrics.failed("t", "ValueError")
    metrics.failed("t", "ValueError")
    metrics.slots(3)
    value = registry.get_sample_value
    assert value("windrow_task_attempts_total", {"queue": "default", "task": "t", "outcome": "retried"}) == 1
    assert value("windrow_task_retries_total", {"queue": "default", "task": "t"}) == 1
    assert value("windrow_task_failures_total", {"queue": "default", "task": "t", "error": "ValueError"}) == 2
    assert value("windrow_task_duration_seconds_count", {"queue": "default"}) == 1
    assert value("windrow_task_queue_wait_seconds_sum", {"queue": "default"}) == 0.2
    assert value("windrow_worker_slots", {"queue": "default", "state": "busy"}) == 3


def test_a_worker_stays_under_two_thousand_series(metrics, registry):
    """However many names and errors come, the rest goes to `other` and nothing is left out of the sum."""
    for number in range(3000):
        metrics.ended(f"task{number}", "failed", 0.1)
        metrics.retried(f"task{number}")
        metrics.failed(f"task{number}", f"Error{number}")
    assert series(registry) < 2000
    for name in ("windrow_task_attempts_total", "windrow_task_retries_total", "windrow_task_failures_total"):
        total = sum(s.value for f in registry.collect() for s in f.samples if s.name == name)
        assert total == 3000


def test_a_task_has_at_most_eight_series(metrics, registry):
    """A (queue, task) costs eight series on a worker, errors apart."""
    before = series(registry)
    metrics.known(["one.more"])
    assert series(registry) - before == 8


def test_a_scrape_gets_the_registry_in_the_form_it_asks_for(metrics):
    """Plain text unless OpenMetrics is accepted; `name[]` picks; what is never asked for is not there."""
    status, headers, body = metrics.page({})
    assert (status, dict(headers)["Content-Type"].partition(";")[0]) == ("200 OK", "text/plain")
    assert 'windrow_worker_slots{queue="default",state="idle"} 4.0' in body.decode()
    assert "_created" not in body.decode()
    _, headers, body = metrics.page(
        {"HTTP_ACCEPT": "application/openmetrics-text", "QUERY_STRING": "name[]=windrow_worker_slots"}
    )
    assert dict(headers)["Content-Type"].startswith("application/openmetrics-text")
    assert "windrow_task_attempts" not in body.decode()


LABELS = {"queue", "task", "state", "outcome", "error", "reason", "result", "objective", "verb", "resource", "code"}


def test_the_catalogue_keeps_its_rules():
    """Names carry the prefix, no label names a pod or an execution, histograms stay small and reach an hour."""
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)
    for metric in CATALOGUE:
        assert metric.name.startswith("windrow_")
        assert set(metric.labels) <= LABELS
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        if metric.kind == "histogram":
            assert len(metric.buckets) + 1 <= 12
            assert metric.buckets[-1] >= (10 if metric.exporter == "operator" else 3600), "a task may take an hour, a tick not"
