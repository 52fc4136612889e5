"""Many QueueWorkers on one operator: what they cost while nothing happens, and that a burst still comes through."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.operator.costs import cost, writes
from benchmarks.operator.report import Row, most
from benchmarks.operator.stage import Stage
from tests.cluster.setting import ACCOUNT, QueueWorkerObject
from tests.waiting import wait_until


def many(stage: Stage) -> list[QueueWorkerObject]:
    """The QueueWorkers, all with their Deployments, the operator with nothing more to write."""
    count = 100 if stage.quick else 1000
    with ThreadPoolExecutor(8) as hands:
        made = list(hands.map(lambda n: stage.post(f"idle-{n}", 10, maxReplicas=5, scaleDownWindow="5s"), range(count)))
    stage.eyes.wait(lambda: all(one.name in stage.eyes.replicas for one in made), 600, "each has a Deployment")
    _quiet(stage)
    return made


def _quiet(stage: Stage) -> None:
    user, last, since = _user(stage), -1, time.monotonic()

    def still() -> bool:
        nonlocal last, since
        now = sum(count for what, count in writes(stage.plane.audit, user).items() if not what.startswith("leases "))
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 10

    wait_until(still, 600, "the operator has nothing more to write", pause=1.0)


def _user(stage: Stage) -> str:
    return f"system:serviceaccount:{stage.namespace}:{ACCOUNT}"


def idle_1000(stage: Stage, workers: list[QueueWorkerObject]) -> Row:
    """Nothing happens for a while."""
    seconds = 20.0 if stage.quick else 120.0
    found = cost(stage.operators.alive[0].pid, stage.plane.audit, _user(stage), seconds)
    return Row(
        "idle_1000",
        f"{len(workers):,} QueueWorkers, idle for {seconds:g} s",
        (
            most("cores", found.cores, 0.1),
            most("MB resident", found.megabytes, 300.0),
            most("API writes a minute besides Lease renewals", found.writes_a_minute, 50.0),
        ),
        {"writes": found.writes, "seconds": found.seconds},
        "" if not stage.quick else f"A SHORT RUN with {len(workers)} QueueWorkers",
    )
