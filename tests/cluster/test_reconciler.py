"""The reconciler by itself on a real API server: the look each minute, one QueueWorker's own failures, the lost Lease."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.cluster.api import Object
from tests.cluster.control_plane import Plane
from tests.cluster.setting import IMAGE, SECRET, QueueWorkerObject
from tests.cluster.test_reconcile_others import path_of
from tests.waiting import wait_until
from windrow_operator import reconciler, render
from windrow_operator.api import Api
from windrow_operator.cluster import LeaseLost
from windrow_operator.handlers import Keeping
from windrow_operator.login import log_in
from windrow_operator.metrics import OperatorMetrics
from windrow_operator.reconciler import Reconciler
from windrow_operator.render import Platform
from windrow_operator.watched import Watched

Make = Callable[..., QueueWorkerObject]
PLATFORM = Platform(IMAGE, SECRET)


class Alone:
    """A reconciler with what it knows, and no watch: what is told to it is told by the test."""

    def __init__(self, plane: Plane, namespace: str, platform: Platform = PLATFORM) -> None:
        self.plane, self.registry, self.watched, self.stop = plane, CollectorRegistry(), Watched(), asyncio.Event()
        self.keeping = Keeping(self.watched)
        metrics = OperatorMetrics(self.registry)
        self.api = Api(lambda: log_in(kubeconfig=str(plane.kubeconfig)), metrics)
        self.reconciler = Reconciler(self.watched, self.api, platform, metrics, self.api, (namespace,))

    def tell(self, *workers: QueueWorkerObject) -> None:
        """As the watch would."""
        for worker in workers:
            self.keeping.queueworker(worker.get())

    def while_it_runs(self, check: Callable[[], Any]) -> None:
        """Run it beside `check`, which waits and compares in a thread. Raises what either raises."""

        def checked() -> None:
            try:
                check()
            finally:
                self.plane.api.close()

        async def both() -> None:
            async with self.api:
                running = asyncio.create_task(self.reconciler.run(self.stop))
                checking: Awaitable[Any] = asyncio.get_running_loop().run_in_executor(None, checked)
                await asyncio.wait({running, asyncio.ensure_future(checking)}, return_when=asyncio.FIRST_COMPLETED)
                self.stop.set()
                await running
                await checking

        asyncio.run(both())


def there(worker: QueueWorkerObject, kind: str) -> Object:
    return wait_until(lambda: worker.api.find(path_of(worker, kind)), 10, f"{worker.name} has its {kind}") or {}


def test_what_is_not_watched_is_looked_at_again_and_again(
    plane: Plane, namespace: str, queueworker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget that was edited and an account that was deleted by hand; what is as it should be is not written."""
    monkeypatch.setattr(reconciler, "LOOK_SECONDS", 1.0)
    worker, other = queueworker("mail"), queueworker("reports")
    alone = Alone(plane, namespace)
    alone.tell(worker, other)

    def writes() -> float:
        found = [sample for family in alone.registry.collect() for sample in family.samples]
        return sum(
            sample.value
            for sample in found
            if sample.name == "windrow_operator_api_calls_total" and sample.labels["verb"] == "patch"
        )

    def check() -> None:
        for kind in ("PodDisruptionBudget", "ServiceAccount", "Deployment"):
            there(worker, kind)
            there(other, kind)
        worker.api.patch(path_of(worker, "PodDisruptionBudget"), {"spec": {"maxUnavailable": "50%"}})
        worker.api.delete(path_of(worker, "ServiceAccount"))
        wait_until(lambda: there(worker, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1, 5, "the budget is put back")
        there(worker, "ServiceAccount")

    alone.while_it_runs(check)
    assert writes() == 2 * 3 + 2


def test_one_that_cannot_be_rendered_stops_no_other(
    plane: Plane, namespace: str, queueworker: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours in one QueueWorker is counted and tried again; the rest is served."""
    real = render.render

    def fails(spec: Any, *rest: Any) -> Any:
        if spec.name == "bad":
            raise KeyError("a fault of ours")
        return real(spec, *rest)

    monkeypatch.setattr(reconciler, "render", fails)
    bad, good = queueworker("bad"), queueworker("good")
    alone = Alone(plane, namespace)
    alone.tell(bad, good)

    def errors() -> float:
        return alone.registry.get_sample_value("windrow_operator_reconcile_errors_total") or 0

    def check() -> None:
        there(good, "Deployment")
        wait_until(lambda: errors() >= 2, 10, "it is tried again")
        assert bad.deployment() is None
        monkeypatch.setattr(reconciler, "render", real)
        there(bad, "Deployment")

    alone.while_it_runs(check)


def test_a_lost_lease_ends_it_without_a_write(plane: Plane, namespace: str, queueworker: Make) -> None:
    """Another operator may lead: not even what was begun is written."""
    worker = queueworker("mail")
    alone = Alone(plane, namespace)
    alone.api.may_write = lambda: False
    alone.tell(worker)
    with pytest.raises(LeaseLost):
        alone.while_it_runs(lambda: wait_until(alone.stop.is_set, 10, "it has ended"))
    assert worker.deployment() is None
    assert worker.api.find(path_of(worker, "ServiceAccount")) is None


def test_a_podmonitor_without_its_kind_is_said_and_the_rest_is_made(plane: Plane, namespace: str, queueworker: Make) -> None:
    """The sentence says what to install or to set; it is no reason for having no workers."""
    worker = queueworker("mail")
    alone = Alone(plane, namespace, Platform(IMAGE, SECRET, pod_monitors=True))
    alone.tell(worker)
    (entry,) = alone.watched

    def check() -> None:
        there(worker, "Deployment")
        sentence = wait_until(lambda: entry.apply_fault, 10, "it is said")
        assert sentence is not None
        assert sentence.startswith("PodMonitor must be a kind that the cluster knows, and it is not: install ")

    alone.while_it_runs(check)


def test_no_deployment_is_made_for_a_queueworker_that_is_gone_though_no_watch_has_said_so(
    plane: Plane, namespace: str, queueworker: Make
) -> None:
    """It would stand in the way of the next one of that name until the garbage collector comes."""
    gone, stays = queueworker("mail"), queueworker("reports")
    alone = Alone(plane, namespace)
    alone.tell(gone)
    gone.delete()
    wait_until(lambda: gone.api.find(gone.path) is None, 10, "it is gone")
    again = queueworker("mail")

    def check() -> None:
        asked = "windrow_operator_api_calls_total", {"verb": "get", "resource": "queueworkers", "code": "200"}
        wait_until(lambda: alone.registry.get_sample_value(*asked), 10, "it was asked for")
        alone.tell(stays)
        there(stays, "Deployment")
        assert again.api.find(path_of(again, "Deployment")) is None
        alone.tell(again)
        there(again, "Deployment")

    alone.while_it_runs(check)
