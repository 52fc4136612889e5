"""Scaling on a real API server: up in one step, down only through workers that drained, and what people and specs say."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis

from tests.cluster.agent.playing import Agent
from tests.cluster.kubectl import Kubectl
from tests.cluster.operators import Operators
from tests.cluster.publishing import publish
from tests.cluster.setting import QueueWorkerObject
from tests.waiting import wait_until
from windrow.broker import admin, observe
from windrow.broker.client import connect
from windrow_operator.names import PROTECTION

Make = Callable[..., QueueWorkerObject]
QUICK: dict[str, Any] = {"scaleDownWindow": "1s", "waitTarget": "5s"}
LIMITS = {"hard": "5m"}


def is_at(worker: QueueWorkerObject, count: int) -> Callable[[], bool]:
    return lambda: worker.replicas() == count and worker.ready() == count


def nothing_removed_busy(agent: Agent) -> None:
    assert agent.busy_removed() == []
    assert agent.record("killed") == []


def grown(worker: QueueWorkerObject, redis_url: str, count: int, seconds: float) -> None:
    """So many workers, each busy with one task of so many seconds."""
    wait_until(worker.deployment, 20, "there is a Deployment")
    publish(redis_url, worker.queue, count, seconds=seconds)
    wait_until(is_at(worker, count), 30, f"{count} pods are ready")


def test_from_nought_in_one_step_and_back_through_drained_workers(
    operator: Operators, agent: Agent, queueworker: Make, redis_url: str
) -> None:
    """A burst has all its pods asked for at once; when it is done each goes after it said that it drained, none while busy."""
    operator.start()
    worker = queueworker("mail", concurrency=2, timeLimits=LIMITS, scaling={**QUICK, "maxReplicas": 8})
    wait_until(worker.deployment, 20, "there is a Deployment")
    assert worker.replicas() == 0
    seen: list[int | None] = []
    publish(redis_url, worker.queue, 16, seconds=4)
    wait_until(lambda: seen.append(worker.replicas()) or seen[-1] == 8, 10, "all workers are asked for", pause=0.02)
    assert set(seen) == {0, 8}
    wait_until(is_at(worker, 8), 20, "8 pods are ready")
    wait_until(lambda: worker.replicas() == 0 and not worker.pods(terminating=True), 40, "all pods are gone")
    nothing_removed_busy(agent)
    assert len(agent.record("drained")) == 8
    wait_until(lambda: worker.get()["status"]["lastDecision"]["reason"] == "idle", 10, "status says why")


def test_what_is_in_flight_counts(operator: Operators, agent: Agent, queueworker: Make, redis_url: str) -> None:
    """The list is empty and all is in flight: workers stay until they have finished, and the idle ones go meanwhile."""
    operator.start()
    worker = queueworker("mail", concurrency=1, timeLimits=LIMITS, scaling={**QUICK, "scaleDownWindow": "3s", "maxReplicas": 8})
    wait_until(worker.deployment, 20, "there is a Deployment")
    publish(redis_url, worker.queue, 3, seconds=25)
    wait_until(is_at(worker, 3), 30, "3 pods are ready")
    # So short that their arrival, as a flow, keeps nobody.
    publish(redis_url, worker.queue, 5, seconds=0.2)
    wait_until(is_at(worker, 8), 30, "8 pods are ready")
    wait_until(is_at(worker, 3), 18, "only the busy ones are left")
    wait_until(lambda: len(agent.record("terminating")) >= 5, 5, "the agent has seen five go")
    assert {line["busy"] for line in agent.record("terminating")} == {0}
    reading = observe.observe(connect(redis_url), [worker.queue])[worker.queue]
    assert (reading.ready, reading.in_flight) == (0, 3)
    wait_until(lambda: worker.replicas() == 0 and not worker.pods(), 40, "all pods are gone")
    nothing_removed_busy(agent)


def test_kubectl_scale_pins_and_removing_it_gives_the_queue_back(
    operator: Operators, agent: Agent, queueworker: Make, redis_url: str, kubectl: Kubectl
) -> None:
    """`kubectl scale` fixes the number, also beyond maxReplicas, and down through drained workers; without it, autoscaled."""
    operator.start()
    worker = queueworker("mail", concurrency=1, timeLimits=LIMITS, scaling={**QUICK, "maxReplicas": 2})
    wait_until(worker.deployment, 20, "there is a Deployment")
    kubectl("scale", "qw/mail", "--replicas=5")
    wait_until(is_at(worker, 5), 20, "5 pods are ready")
    publish(redis_url, worker.queue, 5, seconds=6)
    wait_until(lambda: observe.observe(connect(redis_url), [worker.queue])[worker.queue].in_flight == 5, 10, "all are busy")
    kubectl("scale", "qw/mail", "--replicas=3")
    wait_until(is_at(worker, 3), 30, "3 pods are left")
    wait_until(lambda: worker.get()["status"].get("mode") == "Pinned", 10, "status says so")
    worker.patch(replicas=None)
    wait_until(lambda: worker.replicas() == 0 and not worker.pods(), 30, "all pods are gone")
    nothing_removed_busy(agent)


def test_paused_keeps_the_queue(
    operator: Operators, agent: Agent, queueworker: Make, redis_url: str, redis_client: redis.Redis
) -> None:
    """A paused queue starts nothing and keeps what waits; when the field goes it goes on, but not if a person paused it too."""
    operator.start()
    client = connect(redis_url)
    worker = queueworker("mail", concurrency=1, timeLimits=LIMITS, paused=True, scaling={**QUICK, "maxReplicas": 2})
    other = queueworker("post", concurrency=1, timeLimits=LIMITS, scaling={**QUICK, "maxReplicas": 2})
    wait_until(lambda: worker.deployment() and other.deployment(), 20, "there are Deployments")
    wait_until(lambda: observe.observe(client, ["mail"])["mail"].paused, 10, "the queue is paused in Redis")
    publish(redis_url, "mail", 2, seconds=1)
    admin.pause(client, "post")
    publish(redis_url, "post", 1, seconds=1)
    wait_until(lambda: worker.get().get("status", {}).get("mode") == "Paused", 10, "status says so")
    assert (worker.replicas(), other.replicas()) == (0, 0)
    worker.patch(paused=None)
    wait_until(lambda: len(agent.record("started", name="mail")) == 2, 30, "its workers start")
    wait_until(lambda: observe.observe(client, ["mail"])["mail"].ready == 0, 20, "its tasks run")
    reading = observe.observe(client, ["post"])["post"]
    assert (reading.ready, reading.paused, agent.record("started", name="post")) == (1, True, [])


def test_a_rate_limit_holds_at_once(operator: Operators, queueworker: Make, redis_url: str) -> None:
    """A changed rateLimit is in Redis within a tick or two, and gone when the field goes: no worker needs to start for it."""
    operator.start()
    client = connect(redis_url)
    worker = queueworker("mail", rateLimit="120/m")
    wait_until(lambda: observe.observe(client, ["mail"])["mail"].rate == (2.0, 1), 20, "the limit is set")
    worker.patch(rateLimit=None)
    wait_until(lambda: observe.observe(client, ["mail"])["mail"].rate is None, 10, "the limit is lifted")


def test_busy_pods_of_long_queues_keep_their_nodes(
    operator: Operators, agent: Agent, queueworker: Make, redis_url: str
) -> None:
    """A pod at work on a task that may take longer than a node's removal waits carries both annotations."""
    operator.start()
    worker = queueworker("mail", concurrency=1, timeLimits={"hard": "10m"}, scaling={**QUICK, "maxReplicas": 2})
    wait_until(worker.deployment, 20, "there is a Deployment")
    publish(redis_url, worker.queue, 1, seconds=20)
    wait_until(
        lambda: [pod for pod in worker.pods() if PROTECTION.items() <= pod["metadata"].get("annotations", {}).items()],
        20,
        "the busy pod is protected",
    )


def test_killed_in_the_middle_of_a_scale_in(operator: Operators, agent: Agent, queueworker: Make, redis_url: str) -> None:
    """The operator dies while workers drain; the next one goes on from what Redis, pods and Deployment say."""
    first = operator.start()
    worker = queueworker("mail", concurrency=1, timeLimits=LIMITS, scaling={**QUICK, "maxReplicas": 10})
    wait_until(worker.deployment, 20, "there is a Deployment")
    publish(redis_url, worker.queue, 3, seconds=25)
    publish(redis_url, worker.queue, 7, seconds=1)
    wait_until(is_at(worker, 10), 30, "10 pods are ready")
    wait_until(lambda: agent.record("drained"), 20, "the first has drained", pause=0.02)
    operator.kill(first)
    operator.start()
    wait_until(is_at(worker, 3), 40, "only the busy ones are left")
    assert {line["busy"] for line in agent.record("terminating")} == {0}
    wait_until(lambda: worker.replicas() == 0 and not worker.pods(), 40, "all pods are gone")
    nothing_removed_busy(agent)


def test_redis_away(operator: Operators, agent: Agent, queueworker: Make, redis_url: str, redis_client: redis.Redis) -> None:
    """A Redis that does not answer is not an empty one: nobody goes, a queue at nought gets its fallback, and it comes back."""
    operator.start()
    busy = queueworker("mail", concurrency=1, timeLimits=LIMITS, scaling={**QUICK, "maxReplicas": 4})
    still = queueworker("post", concurrency=1, timeLimits=LIMITS, scaling={**QUICK, "maxReplicas": 4, "fallbackReplicas": 2})
    grown(busy, redis_url, 4, 1)
    wait_until(still.deployment, 20, "there is a Deployment")
    redis_client.execute_command("CLIENT", "PAUSE", 14_000)
    began = time.monotonic()
    wait_until(lambda: still.replicas() == 2, 13, "the fallback is asked for")
    unreadable = wait_until(
        lambda: (said := busy.condition("BrokerReadable")) and said["status"] == "False" and said, 5, "told"
    )
    assert redis_url.rpartition("@")[0] not in unreadable["message"] or "@" not in redis_url
    while time.monotonic() - began < 12:
        assert busy.replicas() == 4
        time.sleep(0.2)
    for worker in (busy, still):
        wait_until(lambda w=worker: w.replicas() == 0 and not w.pods(), 40, "back by itself")  # type: ignore[misc]
    nothing_removed_busy(agent)
