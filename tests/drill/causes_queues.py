"""What is wrong with one queue: each cause has a queue of its own, and so all of them can be there at the same time."""

from __future__ import annotations

from tests.drill import queues, tasks
from tests.drill.cause import Cause, expect
from tests.drill.stage import Stage
from windrow.broker import admin


def _stall(stage: Stage) -> None:
    admin.pin(stage.client, "stalled", 0)
    for _ in range(20):
        stage.producer.call(tasks.work, "stalled", 0.01)


def _hang_all(stage: Stage) -> None:
    (stage.folder / "hang").touch()
    stage.producer.call(tasks.work, "hanging")


def _hang_one(stage: Stage) -> None:
    """Shares the harm with `_hang_all`, and its mending."""
    (stage.folder / "hang").touch()
    stage.producer.steady("missing", "missing", 2.0)
    admin.pin(stage.client, "missing", 2)


def _no_hang(stage: Stage) -> None:
    (stage.folder / "hang").unlink(missing_ok=True)


def _crash(stage: Stage) -> None:
    """Workers crash first, as after a rollout; then tasks come."""
    (stage.folder / "crash").touch()
    admin.pin(stage.client, "crashing", 1)
    crashing = 'windrow_workers{queue="crashing", state="crashing"} > 0'
    stage.until(lambda: stage.tower.query(crashing), 60, "the platform sees workers crash")
    stage.producer.call(tasks.work, "crashing")


def _no_crash(stage: Stage) -> None:
    (stage.folder / "crash").unlink()


def _overload(stage: Stage) -> None:
    admin.release(stage.client, "at-max")
    stage.producer.steady("at-max", "at-max", 4.0, tasks.work, 0.5)


def _relieve(stage: Stage) -> None:
    stage.producer.stop("at-max")
    admin.purge(stage.client, "at-max")


def _lose(stage: Stage) -> None:
    for _ in range(3):
        stage.producer.call(tasks.die_early, "lost")


def _stick(stage: Stage) -> None:
    stage.kept["stuck"] = stage.producer.call(tasks.go_on, "stuck", 900.0)


def _unstick(stage: Stage) -> None:
    tasks.app.control.revoke(stage.kept["stuck"], terminate=True, signal="SIGKILL")


def _storm(stage: Stage) -> None:
    stage.producer.steady("storm", "storm", 2.0, tasks.again, 20, 0.2)


def _end_storm(stage: Stage) -> None:
    stage.producer.stop("storm")


def _unserved(stage: Stage) -> None:
    for _ in range(5):
        stage.producer.call(tasks.work, queues.UNSERVED)


def _purge(stage: Stage) -> None:
    admin.purge(stage.client, queues.UNSERVED)


def _apart(stage: Stage) -> None:
    stage.desk.left_out = lambda group: group["labels"].get("__meta_windrow_queue") == "apart"
    stage.producer.steady("apart", "apart", 5.0)


def _together(stage: Stage) -> None:
    stage.desk.left_out = lambda group: False


CAUSES = [
    Cause(
        "queue_stalled",
        "twenty tasks wait in a queue whose workers a person fixed at 0",
        expect(["QueueStalled"], "stalled"),
        _stall,
        lambda stage: admin.release(stage.client, "stalled"),
    ),
    Cause(
        "no_workers",
        "the app's import stands still: a worker is wanted for a waiting task, and none registers",
        expect(["QueueStalled"], "hanging", silent=["WorkersMissing"]),
        _hang_all,
        _no_hang,
    ),
    Cause(
        "workers_missing",
        "the app's import stands still when a second worker is wanted; the first one works on",
        expect(["WorkersMissing"], "missing"),
        _hang_one,
        _no_hang,
        warm="missing",
    ),
    Cause(
        "crash_looping",
        "the app's import raises: workers end as soon as they are started, and a task waits for them",
        expect(["WorkersCrashLooping"], "crashing", silent=["QueueStalled"], allowed=["WorkersMissing"]),
        _crash,
        _no_crash,
    ),
    Cause(
        "at_max_replicas",
        "twice as much work as the one worker that maxReplicas allows can do",
        expect(["AtMaxReplicas"], "at-max"),
        _overload,
        _relieve,
        warm="at-max",
    ),
    Cause(
        "executions_lost",
        "three tasks that are acknowledged early end their own process",
        expect(["ExecutionsLost"], "lost"),
        _lose,
        lambda stage: None,
        warm="lost",
    ),
    Cause(
        "stuck_running",
        "a task takes no notice of its soft limit",
        expect(["StuckRunning"], "stuck"),
        _stick,
        _unstick,
        warm="stuck",
    ),
    Cause(
        "retry_storm",
        "two tasks a second that each ask for twenty retries",
        expect(["RetryStorm"], "storm"),
        _storm,
        _end_storm,
        warm="storm",
    ),
    Cause(
        "queue_unserved",
        "five tasks are published to a queue that no QueueWorker serves",
        expect(["QueueUnserved"], queues.UNSERVED),
        _unserved,
        _purge,
    ),
    Cause(
        "figures_apart",
        "the workers of a busy queue are not scraped",
        expect(["FiguresApart"], "apart"),
        _apart,
        _together,
        warm="apart",
    ),
]
