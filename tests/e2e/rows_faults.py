"""200 tasks of 5 to 60 s in flight, while a fault comes upon the workers or upon the platform."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e.judge import Blow
from tests.e2e.row import Outcome, tried
from tests.e2e.stage import Stage, Wrong, clock, spread
from tests.e2e.totals import totals_agree

IN_FLIGHT = 200
WORKERS = ("delete", "force", "evict", "kill", "oom")
PLATFORM = ("operator", "server", "redis", "postgresql")
REPEATS = frozenset({"force", "kill", "oom"})
"""Faults that leave no grace: a body may start again, never beside its first run."""
BLOWS = frozenset({"force", "kill"})
"""Faults that kill a whole worker, and with it an end that is on its way to Redis."""
SETTLED_S = 330.0
Fault = Callable[[Stage, list[str]], Mapping[str, Any]]
"""Brings a fault about, for tasks that run, and says what of it there is to note."""


def values(image: str) -> dict[str, Any]:
    """The chart's values for these rows: a queue for each fault, its workers up beforehand."""
    limits = {"soft": "80s", "hard": "90s"}

    def queue(pool: str, concurrency: int) -> dict[str, Any]:
        workers = IN_FLIGHT // concurrency
        return {
            "app": "e2e_app:app", "pool": pool, "concurrency": concurrency, "timeLimits": limits,
            "scaling": {"minReplicas": workers, "maxReplicas": workers + 2, "waitTarget": "2s", "scaleDownWindow": "10s"},
        }  # fmt: skip

    queues: dict[str, Any] = dict.fromkeys(("high-priority", "default", "file-queue", "long-running", "celery"))
    queues |= {name: queue("asyncio", 100) for name in WORKERS}
    queues |= {name: queue("asyncio", IN_FLIGHT) for name in PLATFORM}
    queues["evict"] = queue("threads", 100)
    queues["oom"] = queue("prefork", 50) | {"template": {"resources": {"limits": {"memory": "2500Mi"}}}}
    queues["quick"] = {
        "app": "e2e_app:app", "timeLimits": limits, "scaling": {"maxReplicas": 12, "waitTarget": "1s", "scaleDownWindow": "5s"}
    }  # fmt: skip
    return {"worker": {"image": image}, "queues": queues}


def _run(stage: Stage, name: str, fault: Fault, struck: threading.Event) -> Outcome:
    outcome = Outcome()
    try:
        ids = stage.send("e2e.hold", name, spread(IN_FLIGHT))
        if name == "oom":
            ids = stage.send("e2e.hog", name, [[20, f"hog-{clock()}"]]) + ids
        stage.in_flight(ids, IN_FLIGHT)
        begun, at = clock(), time.time()  # the node has this machine's clock
        outcome.notes |= fault(stage, ids)
        struck.set()
        blow = Blow(outcome.notes["pod"], at) if name in BLOWS else None
        outcome.add(stage.settled(ids, SETTLED_S, blow), repeats=name in REPEATS)
        outcome.notes["settled_s"] = round(clock() - begun, 1)
    except Wrong as reason:
        outcome.wrong.append(str(reason))
    finally:
        struck.set()
    return outcome


def _delete(stage: Stage, ids: list[str]) -> Mapping[str, Any]:
    stage.kubectl("delete", "pod", pod := stage.busy_pod("delete"), "--wait=false")
    return {"pod": pod}


def _force(stage: Stage, ids: list[str]) -> Mapping[str, Any]:
    stage.kubectl("delete", "pod", pod := stage.busy_pod("force"), "--grace-period=0", "--force", "--wait=false")
    return {"pod": pod}


def _evict(stage: Stage, ids: list[str]) -> Mapping[str, Any]:
    pod = stage.busy_pod("evict")
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": stage.namespace}}
    stage.kubectl(
        "create", "--raw", f"/api/v1/namespaces/{stage.namespace}/pods/{pod}/eviction", "-f", "-", given=json.dumps(body)
    )
    return {"pod": pod}


def _kill(stage: Stage, ids: list[str]) -> Mapping[str, Any]:
    pids = stage.cluster.kill_container(stage.namespace, pod := stage.busy_pod("kill"))
    if not pids:
        raise Wrong(f"the container of {pod} must have had processes to kill")
    return {"pod": pod, "killed": len(pids)}


def _oom(stage: Stage, ids: list[str]) -> Mapping[str, Any]:
    """The hog among them takes memory from its start on; that it starts again says that it was killed."""

    def again() -> int:
        return len({line.token for line in stage.evidence() if line.task == ids[0]}) - 1

    stage.wait(lambda: again() >= 1, 90, "the task whose process was killed for its memory starts again", pause=1)
    return {"killed": again()}


def faults(stage: Stage) -> Mapping[str, Outcome]:
    """Each fault upon 200 tasks of its own, workers' first, then all pods of one part of the platform after the other."""
    each: dict[str, Fault] = {"delete": _delete, "force": _force, "evict": _evict, "kill": _kill, "oom": _oom}
    each |= {name: functools.partial(_delete_component, name) for name in PLATFORM}
    outcomes = {row_name(name): outcome for name, outcome in _in_turn(stage, each).items()}
    return outcomes | {"totals": tried(lambda: Outcome(notes={"finished": totals_agree(stage)}))}


def row_name(fault: str) -> str:
    """What a fault is called in the table."""
    return f"worker_{fault}" if fault in WORKERS else f"{fault}_deleted"


def _in_turn(stage: Stage, faults: Mapping[str, Fault]) -> dict[str, Outcome]:
    """Each fault comes upon its own queue's tasks when the one before has struck; their ends are awaited together."""
    with ThreadPoolExecutor(len(faults)) as pool:
        running = {}
        for name, fault in faults.items():
            struck = threading.Event()
            running[name] = pool.submit(_run, stage, name, fault, struck)
            struck.wait(150)
    return {name: run.result() for name, run in running.items()}


def _delete_component(name: str, stage: Stage, ids: list[str]) -> Mapping[str, Any]:
    """All pods of one part at once."""
    old = {pod["metadata"]["uid"] for pod in stage.component(name)}
    begun = clock()
    stage.kubectl("delete", "pod", "-l", f"app.kubernetes.io/component={name},app.kubernetes.io/instance={stage.release}")
    stage.wait(
        lambda: not old & {pod["metadata"]["uid"] for pod in stage.component(name)}, 60, f"the old pods of {name} are gone"
    )
    stage.all_ready()
    return {"ready_again_s": round(clock() - begun, 1)}
