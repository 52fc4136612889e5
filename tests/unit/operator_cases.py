"""Pods, workers, readings and Deployments for the tests of the operator's sizing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.unit.scaling_cases import spec
from windrow.broker.observe import QueueReading, WorkerInfo
from windrow.scaling import History
from windrow_operator.sizing import Memory, Sizing, size
from windrow_operator.state import DeploymentState, PodState, Trouble

NOW = 1_000_000.0
UNSCHEDULABLE = Trouble("Unschedulable", "0/3 nodes are available")
CRASHING = Trouble("CrashLoopBackOff", "back-off 40s restarting failed container")


def pod(number: int, **changed: Any) -> PodState:
    """A pod that has been ready for a while."""
    fields: dict[str, Any] = {
        "name": f"q-{number:03}",
        "uid": f"uid-{number}",
        "created": NOW - 60,
        "phase": "Running",
        "scheduled": True,
        "ready": True,
        "terminating": False,
        "template_hash": "one",
        "drained_cost": False,
        "protected": False,
    }
    return PodState(**fields | changed)


def pending(number: int, **changed: Any) -> PodState:
    """A pod that has yet to start."""
    return pod(number, **{"phase": "Pending", "ready": False, "created": NOW - 1} | changed)


def info(
    number: int, busy: int = 0, *, taken: int | None = None, drain: str | None = None, started: float = NOW - 50
) -> WorkerInfo:
    """The worker of pod `number`."""
    return WorkerInfo(
        id=f"id-{number:03}",
        queue="q",
        name="q",
        host=f"q-{number:03}",
        pid=1,
        slots=2,
        metrics=None,
        started=started,
        busy=busy,
        taken=busy if taken is None else taken,
        done=0,
        run=None,
        drain=drain,
    )


def reading(*workers: WorkerInfo, at: float = NOW, **changed: Any) -> QueueReading:
    """What Redis says of the queue."""
    fields: dict[str, Any] = {
        "queue": "q",
        "at": at,
        "ready": 0,
        "delayed": 0,
        "due_soon": 0,
        "in_flight": sum(worker.taken for worker in workers),
        "oldest_age": None,
        "oldest_is_lower_bound": False,
        "paused": False,
        "pinned": None,
        "workers": workers,
        "mean_run": 1.0,
        "finished": 0,
    }
    return QueueReading(**fields | changed)


def deployment(replicas: int, **changed: Any) -> DeploymentState:
    """A Deployment that has what it asks for."""
    fields: dict[str, Any] = {
        "uid": "uid",
        "generation": 3,
        "observed_generation": 3,
        "replicas": replicas,
        "exists": replicas,
        "updated": replicas,
    }
    return DeploymentState(**fields | changed)


def knowing(need: int = 0, at: float = NOW - 1, **changed: Any) -> Memory:
    """The memory of somebody who has looked for long, and saw that `need` workers were enough."""
    made = History(at=at, since=NOW - 10_000, needs=((at, need),), replicas=need)
    return Memory(**{"history": made, "lowered": NOW - 1000} | changed)


def sized(
    pods: Iterable[PodState],
    of: QueueReading | None,
    replicas: int | DeploymentState | None,
    memory: Memory | None = None,
    body: str = "{concurrency: 2, timeLimits: {hard: 5m}}",
    now: float = NOW,
) -> Sizing:
    """What is to be done; by default for somebody who has looked for long and saw no need."""
    pods = list(pods)
    exists = sum(not one.terminating for one in pods)
    has = deployment(replicas, exists=exists, updated=exists) if isinstance(replicas, int) else replicas
    return size(spec(body), has, pods, of, knowing() if memory is None else memory, now)
