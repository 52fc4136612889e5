"""The faults: each a function that does harm to a stage while tasks run on it. What it did stands in the stage's log."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from tests.chaos.proxy import Seen, Trap
from tests.chaos.stage import Stage, Worker

if TYPE_CHECKING:
    from tests.chaos.rows import Row

Fault = Callable[[Stage, "Row"], None]


def under_load(stage: Stage) -> None:
    """Return once bodies run."""
    before = stage.watch.starts
    stage.until(lambda: stage.watch.starts > before, 60, "a task starts")


def pick(stage: Stage) -> Worker:
    """A random worker that is ready, when all are."""
    for worker in stage.alive():
        stage.until(partial(stage.ready, worker), 90, "a worker is ready again")
    return stage.dice.choice(stage.alive())


def busiest(stage: Stage) -> Worker:
    """The worker in which most bodies run, as soon as there are two in one."""

    def found() -> Worker | None:
        running = {worker: len(stage.watch.running & set(worker.tree())) for worker in stage.alive()}
        most = max(running, key=lambda worker: running[worker])
        return most if running[most] >= 2 else None

    pick(stage)
    worker: Worker = stage.until(found, 60, "two tasks run in one worker")
    return worker


def kill_children(stage: Stage, row: Row) -> None:
    """kill -9 of a pool child, at a random moment."""
    for _ in range(row.blows):
        time.sleep(stage.dice.uniform(0.1, 1.0))
        children = stage.until(lambda: stage.watch.bodies & set(pick(stage).tree()[1:]), 20, "a child has run a task")
        stage.kill([stage.dice.choice(sorted(children))])


def kill_workers(stage: Stage, row: Row) -> None:
    """kill -9 of a worker's main process, at a random moment; another is started."""
    for _ in range(row.blows):
        time.sleep(stage.dice.uniform(0.1, 1.5))
        victim = pick(stage)
        stage.kill([victim.process.pid])
        stage.worker(victim.kind, wait=False)


def kill_trees(stage: Stage, row: Row) -> None:
    """kill -9 of all processes of a worker at once, as a container's memory limit does on cgroup v2."""
    for _ in range(row.blows):
        time.sleep(stage.dice.uniform(0.1, 1.5))
        victim = pick(stage)
        stage.kill(victim.tree())
        stage.worker(victim.kind, wait=False)


def kill_when(stage: Stage, row: Row, sees: Seen, before: bool | None = None) -> None:
    """kill -9 of a worker's main process as soon as `sees` goes by on its way to or from Redis; `before` None: either way."""
    for _ in range(row.blows):
        time.sleep(stage.dice.uniform(0.1, 1.0))
        victim = pick(stage)
        tree = victim.tree()

        def strike(pid: int = victim.process.pid, tree: list[int] = tree) -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            stage.doom(tree)

        trap = Trap(sees, strike, stage.dice.random() < 0.5 if before is None else before)
        victim.proxy.catch(trap)
        stage.until(trap.sprung.is_set, 60, "what the fault waits for goes by")
        stage.worker(victim.kind, wait=False)


def wait_for_all(stage: Stage, row: Row) -> None:
    """No harm but what the tasks do themselves; workers that end with them are started again."""
    stage.struck += 1
    while stage.publishing(row.load.count):
        stage.top_up(row.kinds)
        time.sleep(0.2)
