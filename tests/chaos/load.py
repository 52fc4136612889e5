"""The producer, a process of its own: publishes at a steady rate and writes down what was accepted and what was refused.

`python -m tests.chaos.load PLAN.json`; it goes on past `count` calls until the file `until` is there, up to five times as many.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

QUEUE = "chaos"
MOST = 5


@dataclass(frozen=True)
class Load:
    """What is published: `count` calls of a `kind`, `rate` a second (0: as fast as it goes)."""

    kind: str = "work"
    count: int = 1000
    rate: float = 60.0
    seconds: tuple[float, ...] = (0.0, 0.0, 0.01, 0.05, 0.2)
    """How long a body takes: one of these, by the dice."""
    rare: tuple[str, ...] = ()
    """Tasks that are mixed in by turns, `every` so many calls."""
    every: int = 100
    long: tuple[float, ...] = ()
    """The first calls are of this length, one after another."""
    durable: bool = False
    """Of three calls one is plain, one says `durable=True`, one is enqueued in a transaction (bare Celery: plain)."""
    exact: bool = False
    """Not one call more than `count`."""
    spread: tuple[float, float] = (0.0, 0.0)
    """For `delays`: due between so many seconds after the start of publishing."""

    def plan(self, **more: Any) -> dict[str, Any]:
        """As JSON for the process."""
        return {**asdict(self), **more}


@dataclass(frozen=True)
class Job:
    """One call: how it is made, and what is written down of it."""

    publish: Callable[[], Any]
    label: str = "-"
    expects: tuple[str, ...] = ()
    durable: bool = False


def jobs(plan: dict[str, Any], app: Any, dice: random.Random) -> Iterator[Job]:
    """The calls, without end."""
    tasks = app.tasks
    at = "tests.chaos.tasks."
    number = 0
    begun = time.monotonic()
    while True:
        number += 1
        seconds = dice.choice(plan["seconds"])
        kind = plan["kind"]
        if kind == "awork" and os.environ.get("CHAOS_SYSTEM") == "celery":
            kind = "work"  # bare Celery ends a coroutine without having run it
        if number <= len(plan["long"]):
            seconds = plan["long"][number - 1]
        if plan["rare"] and number % plan["every"] == plan["every"] // 2:
            rare = tasks[at + plan["rare"][number // plan["every"] % len(plan["rare"])]]
            yield Job(lambda rare=rare: rare.apply_async(queue=QUEUE))
        elif kind in ("work", "awork"):
            way = number % 3 if plan["durable"] and os.environ.get("CHAOS_SYSTEM") != "celery" else 0
            task = tasks[at + kind]
            yield Job(lambda way=way, task=task, s=seconds: _WAYS[way](task, s), durable=way > 0)
        elif kind == "delays":
            first, last = plan["spread"]
            due = begun + dice.uniform(first, last)
            yield Job(lambda due=due: _delayed(tasks[at + "work"], due))
        else:
            yield _CANVAS[kind if kind != "canvas" else dice.choice(list(_CANVAS))](tasks, at, f"c{number}", seconds)


def _enqueued(task: Any, seconds: float) -> Any:
    from windrow import DatabaseSessionLocal, enqueue, run_async

    async def accept() -> Any:
        async with DatabaseSessionLocal() as session, session.begin():
            return await enqueue(session, task, args=(seconds,), queue=QUEUE)

    return run_async(accept())


_WAYS: tuple[Callable[[Any, float], Any], ...] = (
    lambda task, seconds: task.apply_async((seconds,), queue=QUEUE),
    lambda task, seconds: task.apply_async((seconds,), queue=QUEUE, durable=True),
    _enqueued,
)


def _delayed(task: Any, due: float) -> Any:
    return task.apply_async(kwargs={"due": due}, queue=QUEUE, countdown=max(0.0, due - time.monotonic()))


def _chain(tasks: Any, at: str, name: str, seconds: float) -> Job:
    from celery import chain

    labels = [f"{name}.{n}" for n in range(4)]
    step = tasks[at + "step"]
    steps = [step.s(seconds=seconds, label=label).set(queue=QUEUE) for label in labels[1:]]
    first = step.s(None, seconds=seconds, label=labels[0]).set(queue=QUEUE)
    return Job(lambda: chain(first, *steps).apply_async(), name, tuple(labels))


def _group(tasks: Any, at: str, name: str, seconds: float) -> Job:
    from celery import group

    labels = [f"{name}.{n}" for n in range(4)]
    step = tasks[at + "step"]
    return Job(
        lambda: group(step.si(seconds=seconds, label=label).set(queue=QUEUE) for label in labels).apply_async(),
        name,
        tuple(labels),
    )


def _chord(tasks: Any, at: str, name: str, seconds: float) -> Job:
    from celery import chord

    labels = [f"{name}.{n}" for n in range(4)]
    step = tasks[at + "step"]
    parts = [step.si(seconds=seconds, label=label).set(queue=QUEUE) for label in labels]
    end = tasks[at + "body"].s(label=f"{name}.b").set(queue=QUEUE)
    return Job(lambda: chord(parts)(end), name, (*labels, f"{name}.b"))


def _retry(tasks: Any, at: str, name: str, seconds: float) -> Job:
    return Job(
        lambda: tasks[at + "again"].apply_async((2,), {"seconds": seconds, "label": name}, queue=QUEUE), name, (f"{name}.2",)
    )


def _replace(tasks: Any, at: str, name: str, seconds: float) -> Job:
    return Job(lambda: tasks[at + "replaced"].apply_async((), {"seconds": seconds, "label": name}, queue=QUEUE), name, (name,))


_CANVAS = {"chain": _chain, "group": _group, "chord": _chord, "retry": _retry, "replace": _replace}


def run(plan: dict[str, Any]) -> None:
    """Publish the plan."""
    from tests.chaos.tasks import app

    if os.environ.get("CHAOS_SYSTEM") != "celery":
        from windrow.authoring.install import install

        install(app, os.environ["REDIS_URL"])
    app.set_current()
    app.loader.import_default_modules()
    until = Path(plan["until"])
    gap = 1 / plan["rate"] if plan["rate"] else 0.0
    due = time.monotonic()
    with Path(plan["calls"]).open("a", encoding="utf-8", buffering=1) as out:
        accepted = 0
        for job in jobs(plan, app, random.Random(plan["seed"])):
            if accepted >= plan["count"] * MOST or (accepted >= plan["count"] and (plan["exact"] or until.exists())):
                return
            durable = "d" if job.durable else "p"
            try:
                result = job.publish()
            except Exception as error:
                reason = f"{type(error).__name__}: {error}".replace("\n", " ").replace("\t", " ")
                out.write(f"{time.monotonic():.6f}\trefused\t-\t{job.label}\t{durable}\t\t{reason[:300]}\n")
            else:
                accepted += 1
                expects = ",".join(job.expects)
                out.write(f"{time.monotonic():.6f}\taccepted\t{result.id}\t{job.label}\t{durable}\t{expects}\t\n")
            due = max(due + gap, time.monotonic() - 1.0)
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
