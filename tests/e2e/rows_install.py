"""`helm install` without values, the demo's tasks through all queues, and what a person does with kubectl."""

from __future__ import annotations

from typing import Any

from tests.e2e.row import Outcome
from tests.e2e.stage import Stage, clock, must
from tests.e2e.totals import totals_agree

DATA = "/opt/windrow/lib/python3.11/site-packages/windrow_tasks/data"
QUEUES = {
    "high-priority": "high_priority",
    "default": "default",
    "file-queue": "file_queue",
    "long-running": "long_running",
    "celery": "celery",
}
FIRST_TASK_S = 60.0


def demo_calls(data: str) -> dict[str, tuple[str, list[list[Any]]]]:
    """The demo's tasks on data of the image, by queue."""
    csv = f"{data}/Twitter_volume_FB.csv"
    return {
        "high_priority": ("windrow_tasks.fetch.fetch", [["http://windrow-server:8080/healthz"]] * 20),
        "default": ("windrow_tasks.series.aggregate_day", [[csv, f"2015-03-{day:02}"] for day in range(1, 6)]),
        "file_queue": ("windrow_tasks.files.pack_file", [[csv, "/tmp"]] * 3),
        "long_running": ("windrow_tasks.reports.scan", [[csv, 0.001]] * 4),
        "celery": ("windrow_tasks.series.aggregate_day", [[csv, f"2015-03-{day:02}"] for day in range(1, 6)]),
    }


def install(stage: Stage) -> Outcome:
    """Nothing but `helm install`: all ready, the first task within 60 s, every queue works, records and exact totals agree."""
    outcome = Outcome()
    begun = clock()
    stage.helm("install", stage.release, "charts/windrow", "--create-namespace")
    stage.all_ready()
    outcome.notes["ready_s"] = round(clock() - begun, 1)
    stage.start_producer(stage.state["app:1"])
    data = stage.kubectl(
        "exec",
        "producer",
        "--",
        "python",
        "-c",
        "import windrow_tasks, pathlib; print(pathlib.Path(windrow_tasks.__file__).parent / 'data')",
    ).strip()
    calls = demo_calls(data)
    ids = [stage.send(*_call("high_priority", calls["high_priority"][0], calls["high_priority"][1][:1]))[0]]
    stage.wait(lambda: stage.records(ids).get(ids[0]) == "success", 60, "the first task is a success on record", pause=0.2)
    outcome.notes["first_task_s"] = round(clock() - begun, 1)
    outcome.check(outcome.notes["first_task_s"] < FIRST_TASK_S, f"the first task must finish within {FIRST_TASK_S:g} s")
    for queue, (task, arguments) in calls.items():
        ids += stage.send(task, queue, arguments)
    stage.wait(
        lambda: all(state == "success" for state in stage.records(ids).values()) and len(stage.records(ids)) == len(ids),
        120, f"all {len(ids)} of the demo's tasks are a success on record", pause=1,
    )  # fmt: skip
    outcome.accepted = len(ids)
    shown = stage.kubectl("get", "qw", "--no-headers")
    outcome.check(len(shown.splitlines()) == len(QUEUES), f"kubectl get qw must show {len(QUEUES)} queues, and shows {shown!r}")
    outcome.notes["totals"] = totals_agree(stage)
    outcome.notes["helm_test"] = _helm_test(stage, outcome)
    return outcome


def _call(queue: str, task: str, arguments: list[list[Any]]) -> tuple[str, str, list[list[Any]]]:
    return task, queue, arguments


def _helm_test(stage: Stage, outcome: Outcome) -> str:
    said = stage.helm("test", stage.release, "--timeout", "2m", check=False)
    outcome.check(
        "Phase:          Succeeded" in said or "Phase: Succeeded" in said.replace("  ", ""),
        f"helm test must pass, and says {said[-300:]!r}",
    )
    return "passed" if not outcome.wrong else "see wrong"


def by_hand(stage: Stage) -> Outcome:
    """0 → N → 0 on depth with real pods; kubectl scale pins, release lets go, pause holds."""
    outcome = Outcome()
    stage.wait(lambda: not stage.queue_pods("quick"), 60, "no worker of an empty queue")
    begun = clock()
    ids = stage.send("e2e.hold", "quick", [[4]] * 24)
    stage.wait(lambda: len(stage.queue_pods("quick")) >= 6, 30, "six pods for 24 tasks of two slots", pause=0.2)
    outcome.notes["pods_exist_s"] = round(clock() - begun, 2)
    outcome.add(stage.settled(ids, 90), repeats=False)
    stage.wait(lambda: not stage.queue_pods("quick", going=True), 90, "the pods have gone again")
    outcome.notes["at_zero_again_s"] = round(clock() - begun, 1)
    stage.kubectl("scale", "qw/quick", "--replicas=3")
    stage.wait(lambda: len(_ready(stage, "quick")) == 3, 90, "kubectl scale brings three pods, though nothing waits")
    must(stage.qw("quick")["spec"].get("replicas") == 3, "kubectl scale must pin spec.replicas")
    stage.kubectl("patch", "qw", "quick", "--type=merge", "-p", '{"spec":{"replicas":null}}')
    stage.wait(lambda: not stage.queue_pods("quick"), 60, "released, the queue goes to zero")
    stage.kubectl("patch", "qw", "quick", "--type=merge", "-p", '{"spec":{"paused":true}}')
    held = stage.send("e2e.hold", "quick", [[1]] * 4)
    stage.wait(lambda: stage.qw("quick")["status"].get("ready") == 4, 30, "a paused queue keeps what waits")
    outcome.check(not [line for line in stage.evidence() if line.task in held], "nothing of a paused queue must start")
    stage.kubectl("patch", "qw", "quick", "--type=merge", "-p", '{"spec":{"paused":null}}')
    outcome.add(stage.settled(held, 90), repeats=False)
    return outcome


def _ready(stage: Stage, queue: str) -> list[dict[str, Any]]:
    return [
        pod for pod in stage.queue_pods(queue)
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions", []))
    ]  # fmt: skip
