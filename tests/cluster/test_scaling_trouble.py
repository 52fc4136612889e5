"""What a worker set that is not well, or not where it was, does to its scaling, on a real API server."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from tests.cluster.agent.playing import Agent
from tests.cluster.api import CORE, Api
from tests.cluster.operators import Operators
from tests.cluster.publishing import publish
from tests.cluster.setting import OTHER_SECRET, QueueWorkerObject, platform_secret
from tests.cluster.test_scaling import LIMITS, QUICK, Make, is_at, nothing_removed_busy
from tests.waiting import wait_until
from windrow.broker import admin
from windrow.broker.client import connect

STAYS = {"windrow.dev/test-stays": "pending"}


def says(worker: QueueWorkerObject, kind: str, status: str, reason: str, words: str) -> Callable[[], bool]:
    def said() -> bool:
        found = worker.condition(kind)
        return found is not None and (found["status"], found["reason"]) == (status, reason) and words in found["message"]

    return said


def never_more(worker: QueueWorkerObject, count: int, seconds: float) -> None:
    """A rule about what does not happen needs its time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert worker.replicas() == count
        time.sleep(0.1)


def test_unschedulable_pods_are_not_answered_with_more(
    operator: Operators, agent: Agent, queueworker: Make, redis_url: str
) -> None:
    """Pods that find no node are named in conditions; more need asks for no more of them, and without need they go."""
    operator.start()
    template = {"nodeSelector": {"no-such": "node"}}
    worker = queueworker("mail", concurrency=1, timeLimits=LIMITS, template=template, scaling={**QUICK, "maxReplicas": 20})
    wait_until(worker.deployment, 20, "there is a Deployment")
    publish(redis_url, worker.queue, 3, seconds=1)
    wait_until(lambda: len(worker.pods()) == 3, 10, "its pods are there")
    wait_until(says(worker, "WorkersHealthy", "False", "Unschedulable", "3 of 3 pods"), 15, "it is told")
    publish(redis_url, worker.queue, 10, seconds=1)
    wait_until(says(worker, "ScalingActive", "False", "Held", "no more pods are asked for"), 10, "the hold is told")
    never_more(worker, 3, 2)
    admin.purge(connect(redis_url), worker.queue)
    wait_until(lambda: worker.replicas() == 0 and not worker.pods(), 20, "they are given up")


def test_crash_looping_pods_are_not_answered_with_more(
    operator: Operators, queueworker: Make, redis_url: str, api: Api, namespace: str
) -> None:
    """Workers that crash are named with what they last said, and more need asks for no more of them."""
    operator.start()
    template = {"labels": STAYS}
    worker = queueworker("mail", concurrency=1, timeLimits=LIMITS, template=template, scaling={**QUICK, "maxReplicas": 20})
    wait_until(worker.deployment, 20, "there is a Deployment")
    publish(redis_url, worker.queue, 2, seconds=1)
    ended = {"exitCode": 1, "reason": "Error", "message": "no module named shop"}
    container = {
        "name": "worker", "image": "x", "imageID": "", "ready": False, "restartCount": 4, "started": False,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": {"terminated": ended},
    }  # fmt: skip
    for pod in wait_until(lambda: len(found := worker.pods()) == 2 and found, 10, "its pods are there"):
        path = f"{CORE}/namespaces/{namespace}/pods/{pod['metadata']['name']}/status"
        api.patch(path, {"status": {"phase": "Running", "containerStatuses": [container]}})
    wait_until(says(worker, "WorkersHealthy", "False", "CrashLoopBackOff", "no module named shop"), 15, "it is told")
    publish(redis_url, worker.queue, 10, seconds=1)
    wait_until(says(worker, "ScalingActive", "False", "Held", "no more pods are asked for"), 10, "the hold is told")
    never_more(worker, 2, 2)


def test_nobody_is_taken_away_in_a_rollout(operator: Operators, agent: Agent, queueworker: Make, redis_url: str) -> None:
    """While pods of two templates are there the number stays, and the reason is told; when the rollout is over it follows."""
    operator.start()
    worker = queueworker("mail", concurrency=1, timeLimits=LIMITS, scaling={**QUICK, "minReplicas": 4})
    wait_until(is_at(worker, 4), 30, "4 pods are ready")
    worker.patch(template={"labels": STAYS})
    wait_until(lambda: len(worker.pods()) == 5, 20, "one of the new template waits")
    worker.patch(scaling={"minReplicas": 1})
    wait_until(says(worker, "ScalingActive", "False", "Held", "during a rollout"), 10, "the hold is told")
    never_more(worker, 4, 3)
    worker.patch(template={"labels": {**dict.fromkeys(STAYS), "fine": "yes"}})
    wait_until(is_at(worker, 1), 40, "the rollout is over, and one is left")
    nothing_removed_busy(agent)


def test_a_queue_on_a_redis_of_its_own(
    operator: Operators, agent: Agent, queueworker: Make, redis_url: str, api: Api, namespace: str, redis_client: redis.Redis
) -> None:
    """A spec names a Secret: its queue is read where that says, a wrong one is told without its URL, a new one is heard."""
    operator.start()
    connection = {"secretRef": {"name": OTHER_SECRET}}
    # No fallback: a pod keeps the address that it was started with.
    scaling = {**QUICK, "maxReplicas": 3, "fallbackReplicas": 0}
    worker = queueworker("mail", concurrency=1, timeLimits=LIMITS, connection=connection, scaling=scaling)
    wait_until(says(worker, "BrokerReadable", "False", "Unreadable", f"Secret {namespace}/{OTHER_SECRET}"), 30, "it is told")
    platform_secret(api, namespace, "redis://:hush@127.0.0.1:9/0", OTHER_SECRET)
    wait_until(says(worker, "BrokerReadable", "False", "Unreadable", "Connection refused"), 20, "it is told")
    assert "hush" not in str(worker.get()) + operator.log()
    elsewhere = redis_url.removesuffix("/0") + "/1"
    platform_secret(api, namespace, elsewhere, OTHER_SECRET)
    wait_until(says(worker, "BrokerReadable", "True", "Readable", ""), 20, "it is read")
    publish(elsewhere, worker.queue, 3, seconds=3)
    wait_until(lambda: worker.replicas() == 3, 20, "its workers are asked for")
    wait_until(lambda: len(agent.record("drained")) >= 3, 40, "they drained there")
    nothing_removed_busy(agent)
