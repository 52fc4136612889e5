"""Rows about bursts: how soon a queue at nought has its workers, and that work in flight keeps them."""

from __future__ import annotations

import random
import statistics
import time

from benchmarks.operator.report import Row, least, most
from benchmarks.operator.stage import WORKERS, Stage
from tests.cluster.api import APPS, Object
from tests.cluster.control_plane import run_kubectl
from tests.cluster.setting import QueueWorkerObject
from tests.waiting import wait_until

TARGET = 50
TASKS = 500
BUDGET_SECONDS = 3.0
"""What the controller manager needs until it may again make 30 pods at once: 20 calls a second, 30 at most."""


def burst_500(stage: Stage) -> Row:
    """500 tasks of 1 s onto a queue at nought that never ran, against `kubectl scale` of a Deployment with the same pods."""
    turns = 3 if stage.quick else 20
    decided, pods, bare, from_publish = [], [], [], []
    for _ in range(turns):
        worker = stage.queueworker("burst", concurrency=10, maxReplicas=TARGET)
        twin = bare_twin(stage, worker)
        # The operator looks once a second, and its last write was at such a look: publish at any moment between two.
        time.sleep(BUDGET_SECONDS + random.random())
        begun = time.monotonic()
        published = stage.publish(worker, TASKS, 1.0)
        decided.append(stage.eyes.reached(worker.name, TARGET, begun, 60) - published)
        pods.append(stage.eyes.born_all(worker.name, TARGET, 60) - published)
        from_publish.append(decided[-1] + published - begun)
        wait_until(lambda worker=worker: stage.in_flight(worker) == (0, 0), 60, "the tasks have run")
        stage.clear(worker)
        time.sleep(BUDGET_SECONDS)
        asked = time.monotonic()
        run_kubectl(stage.plane, "-n", stage.namespace, "scale", f"deployment/{twin}", f"--replicas={TARGET}")
        bare.append(stage.eyes.born_all(twin, TARGET, 60) - asked)
        stage.api.delete(f"{APPS}/namespaces/{stage.namespace}/deployments/{twin}", propagationPolicy="Background")
        stage.drop_pods(twin)
    return Row(
        "burst_500",
        f"{TASKS} tasks of 1 s onto a queue at zero: {TARGET} replicas asked for after the publish, p99 of {turns}",
        (
            most("s until spec.replicas is there", percentile(decided, 99), 1.5),
            most("s later than `kubectl scale`, until the pods exist", statistics.median(pods) - statistics.median(bare), 1.0),
        ),
        {"decided_s": decided, "decided_from_first_publish_s": from_publish, "pods_s": pods, "kubectl_pods_s": bare},
        f"pods after the publish: median {statistics.median(pods):.2f} s, p99 {percentile(pods, 99):.2f} s; "
        f"after `kubectl scale`: {statistics.median(bare):.2f} s, {percentile(bare, 99):.2f} s",
    )


def inflight_500(stage: Stage) -> Row:
    """Nothing waits, 500 tasks are in flight: nobody goes until its tasks have ended, window or not."""
    window, run = 5.0, 20.0 if stage.quick else 60.0
    worker = stage.queueworker("inflight", concurrency=10, maxReplicas=TARGET, scaleDownWindow=f"{window:g}s")
    since = time.time()
    stage.publish(worker, TASKS, run)
    wait_until(lambda: stage.in_flight(worker) == (TASKS, 0), 60, "all are in flight")
    least_pods = TARGET
    ends = time.monotonic() + run - 10.0
    while time.monotonic() < ends:
        least_pods = min(least_pods, sum("deletionTimestamp" not in pod["metadata"] for pod in stage.eyes.there(worker.name)))
        time.sleep(0.2)
    held = stage.in_flight(worker)[0]
    wait_until(lambda: not stage.eyes.there(worker.name), 120, "all have gone, their work done", pause=0.5)
    removed = stage.agent.busy_removed(since=since)
    stage.clear(worker)
    return Row(
        "inflight_500",
        f"list empty, {TASKS} in flight for {run:g} s with a window of {window:g} s: busy pods removed",
        (most("busy pods removed", len(removed), 0), least("workers all the time", least_pods, TARGET)),
        {"in_flight_at_the_end": held, "removed": removed},
    )


def burst_50_of_1000(stage: Stage, workers: list[QueueWorkerObject]) -> Row:
    """50 of the many queues get work at the same moment."""
    bursts = 10 if stage.quick else 50
    each, replicas = 30, 3
    chosen = workers[:: max(len(workers) // bursts, 1)][:bursts]
    begun = time.monotonic()
    published = {worker.name: stage.publish(worker, each, 5.0) for worker in chosen}
    took = [stage.eyes.reached(name, replicas, begun, 60) - at for name, at in published.items()]
    wait_until(lambda: all(stage.in_flight(worker) == (0, 0) for worker in chosen), 120, "the tasks have run", pause=0.5)
    return Row(
        "burst_50_of_1000",
        f"{bursts} bursts at once among {len(workers):,} QueueWorkers, {each} tasks each: replicas at their target",
        (most("s until they are, p99", percentile(took, 99), 3.0),),
        {"seconds": took, "publish_s": max(published.values()) - begun},
    )


def bare_twin(stage: Stage, worker: QueueWorkerObject) -> str:
    """A Deployment at nought with the pods of a QueueWorker's, which nobody manages and nobody plays."""
    found = stage.api.get(f"{APPS}/namespaces/{stage.namespace}/deployments/{worker.name}")
    name = f"bare-{worker.name}"
    template: Object = found["spec"]["template"]
    template["metadata"]["labels"] = {"app": name}
    template["spec"].update(serviceAccountName="default", serviceAccount="default")  # the worker's own goes with its owner
    template["spec"].pop("topologySpreadConstraints", None)
    body = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template},
    }  # fmt: skip
    assert WORKERS not in template["metadata"]["labels"]
    stage.api.post(f"{APPS}/namespaces/{stage.namespace}/deployments", body)
    return name


def percentile(values: list[float], rank: float) -> float:
    """The value that `rank` per cent do not exceed: the highest of up to a hundred for 99."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * rank / 100))]
