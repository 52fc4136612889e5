"""`helm upgrade` to another image under load, and what waiting tasks feel of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from tests.e2e.judge import p99
from tests.e2e.row import Outcome
from tests.e2e.rows_faults import IN_FLIGHT, SETTLED_S
from tests.e2e.stage import Stage, clock, spread

EVERY_S, BEFORE, DURING = 0.1, 150, 500


def values(image: str, platform_tag: str) -> dict[str, Any]:
    """The chart's values: one queue of long tasks, one of short ones, both with workers all the time."""
    limits = {"soft": "80s", "hard": "90s"}
    steady = {"minReplicas": 2, "maxReplicas": 4, "waitTarget": "2s", "scaleDownWindow": "10s"}
    queues: dict[str, Any] = dict.fromkeys(("high-priority", "default", "file-queue", "long-running", "celery"))
    queues["rolling"] = {"app": "e2e_app:app", "pool": "asyncio", "concurrency": 100, "timeLimits": limits, "scaling": steady}
    queues["short"] = {
        "app": "e2e_app:app", "concurrency": 2, "timeLimits": limits,
        "scaling": {"minReplicas": 2, "maxReplicas": 4, "waitTarget": "1s"},
    }  # fmt: skip
    return {"image": {"tag": platform_tag}, "worker": {"image": image}, "queues": queues}


def upgrade(stage: Stage) -> Outcome:
    """Workers, servers and operators are all replaced with 200 tasks in flight; short tasks hardly wait longer."""
    outcome = Outcome()
    ids = stage.send("e2e.hold", "rolling", spread(IN_FLIGHT))
    stage.in_flight(ids, IN_FLIGHT)
    before = stage.send("e2e.nop", "short", [[]] * BEFORE, every=EVERY_S)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(stage.send, "e2e.nop", "short", [[]] * DURING, EVERY_S)
        begun = clock()
        stage.helm("upgrade", stage.release, "charts/windrow", "-f", str(stage.state["values:upgraded"]))
        stage.wait(lambda: _all_new(stage), 150, "every worker, server and operator is of the new image", pause=1)
        outcome.notes["rolled_s"] = round(clock() - begun, 1)
        during = sending.result()
    stage.settled([*before, *during], 60)
    outcome.add(stage.settled(ids, SETTLED_S), repeats=False)
    waits = {name: p99(_waits(stage, some)) for name, some in (("before", before), ("during", during))}
    start = max(_pod_starts(stage), default=0.0)
    outcome.notes |= {
        "p99_wait_before_s": round(waits["before"], 3),
        "p99_wait_during_s": round(waits["during"], 3),
        "pod_start_s": round(start, 1),
    }
    rise = waits["during"] - waits["before"]
    outcome.check(rise <= start, f"the p99 wait must rise by at most one pod start ({start:.1f} s) and rises by {rise:.1f} s")
    done = stage.records([*before, *during])
    outcome.check(
        set(done.values()) == {"success"} and len(done) == BEFORE + DURING, "every short task must be a success on record"
    )
    return outcome


def _all_new(stage: Stage) -> bool:
    images = {container["image"] for pod in stage.pods(going=True) for container in pod["spec"]["containers"]}
    old = {stage.state["app:1"], f"windrow/windrow:{stage.version}"}
    producer = stage.state["app:1"]
    of_workers = {
        container["image"] for pod in stage.pods("windrow.dev/queueworker") for container in pod["spec"]["containers"]
    }
    return (
        not (of_workers & old)
        and not ((images - {producer}) & old)
        and stage.kubectl("rollout", "status", "deploy/short", "--timeout=5s", check=False).count("successfully") == 1
    )


def _waits(stage: Stage, ids: list[str]) -> list[float]:
    listed = ",".join(f"'{one}'" for one in ids)
    return [
        float(row[0])
        for row in stage.sql(f"select wait_s from windrow.executions where wait_s is not null and task_id in ({listed})")
    ]


def _pod_starts(stage: Stage) -> list[float]:
    """From a pod's creation until it was ready, of the queue of short tasks; Kubernetes tells whole seconds."""
    found = []
    for pod in stage.queue_pods("short"):
        ready = [one for one in pod["status"].get("conditions", []) if one["type"] == "Ready" and one["status"] == "True"]
        if ready:
            found.append((_time(ready[0]["lastTransitionTime"]) - _time(pod["metadata"]["creationTimestamp"])).total_seconds())
    return found


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
