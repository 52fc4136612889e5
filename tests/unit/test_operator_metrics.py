"""What an operator tells Prometheus of itself."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from windrow.metrics.catalogue import exported_by
from windrow.scaling import Reason
from windrow_operator.metrics import OperatorMetrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> OperatorMetrics:
    return OperatorMetrics(registry)


def test_all_that_the_catalogue_lists_is_exported_and_nothing_else(
    registry: CollectorRegistry, metrics: OperatorMetrics
) -> None:
    """docs/metrics.md is made from the same list."""
    found = {family.name for family in registry.collect()}
    assert found == {metric.name.removesuffix("_total") for metric in exported_by("operator")}


def test_what_can_happen_stands_at_nought_before_it_does(registry: CollectorRegistry, metrics: OperatorMetrics) -> None:
    """A rate needs the series from before its first event."""
    for reason in Reason:
        assert registry.get_sample_value("windrow_operator_decisions_total", {"reason": str(reason)}) == 0
    for name in ("wrong_victims_total", "reconcile_errors_total", "leader", "reconcile_seconds_count", "tick_seconds_count"):
        assert registry.get_sample_value(f"windrow_operator_{name}") == 0


def test_each_thing_is_counted_where_it_belongs(registry: CollectorRegistry, metrics: OperatorMetrics) -> None:
    metrics.reconciled(0.2)
    metrics.reconcile_failed()
    metrics.ticked(0.01)
    metrics.ticked(0.03)
    metrics.decided(str(Reason.IDLE))
    metrics.wrong_victims(3)
    metrics.called("patch", "deployments", 409)
    metrics.leads(True)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"windrow_operator_{name}", labels)

    assert value("reconcile_seconds_sum") == pytest.approx(0.2)
    assert value("reconcile_errors_total") == 1
    assert value("tick_seconds_count") == 2
    assert value("decisions_total", reason="idle") == 1
    assert value("wrong_victims_total") == 3
    assert value("api_calls_total", verb="patch", resource="deployments", code="409") == 1
    assert value("leader") == 1
    metrics.leads(False)
    assert value("leader") == 0
