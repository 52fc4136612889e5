"""Rows about workers that go: only those that have nothing to do, whatever happens to the operator."""

from __future__ import annotations

import random
import time
from typing import Any

from benchmarks.operator.bursts import percentile
from benchmarks.operator.report import Row, most
from benchmarks.operator.stage import Stage
from tests.cluster.setting import QueueWorkerObject
from tests.waiting import wait_until

BEATS_SECONDS = 2.5
"""Until workers have said that they are busy; one that is asked to drain before ends its task first, and an idle one stays."""


def scale_in(stage: Stage) -> Row:
    """50 workers of which 5 are busy, whichever took the tasks; then 5 are enough."""
    turns, workers, busy = (2, 20, 5) if stage.quick else (20, 50, 5)
    wrong: list[dict[str, Any]] = []
    seconds = []
    for _ in range(turns):
        worker = stage.queueworker("shrink", concurrency=1, maxReplicas=workers, scaleDownWindow="1s")
        worker.patch(replicas=workers)
        wait_until(lambda worker=worker: _serving(stage, worker.name) == workers, 120, f"{workers} serve", pause=0.1)
        since = time.time()
        stage.publish(worker, busy, 15.0)
        wait_until(lambda worker=worker: stage.in_flight(worker) == (busy, 0), 30, f"{busy} are busy", pause=0.05)
        time.sleep(BEATS_SECONDS)
        begun = time.monotonic()
        worker.patch(replicas=None)
        wait_until(lambda worker=worker: len(stage.eyes.there(worker.name)) <= busy, 60, f"{busy} are left", pause=0.05)
        seconds.append(time.monotonic() - begun)
        told = stage.agent.record("terminating", since=since, name=worker.name)
        wrong += [line for line in told if line["busy"] or line["drain"] != "drained"]
        wait_until(lambda worker=worker: stage.in_flight(worker) == (0, 0), 60, "the tasks have run", pause=0.1)
        stage.clear(worker)
    return Row(
        "scale_in",
        f"{workers} → {busy} workers with {busy} busy at random, {turns} times: wrong victims",
        (most("wrong victims", len(wrong), 0),),
        {"victims": turns * (workers - busy), "wrong": wrong, "seconds": seconds},
        f"{workers} → {busy} took {min(seconds):.1f}–{max(seconds):.1f} s",
    )


def kills(stage: Stage) -> Row:
    """Two operators; whichever leads, or the other, is killed at a random moment of a load, and replaced at once."""
    turns = 4 if stage.quick else 30
    dice = random.Random(1)
    since = time.time()
    workers = [stage.queueworker("killed", concurrency=2, maxReplicas=10, scaleDownWindow="3s") for _ in range(3)]
    stage.operators.start()
    seconds: list[float] = []
    stuck: list[str] = []
    for turn in range(turns):
        first, second, third = workers[turn % 3], workers[(turn + 1) % 3], workers[(turn + 2) % 3]
        stage.publish(first, dice.randint(2, 30), dice.uniform(0.5, 4.0))
        time.sleep(dice.uniform(0.0, 4.0))
        stage.publish(second, dice.randint(2, 30), dice.uniform(0.5, 4.0))
        time.sleep(dice.uniform(0.0, 4.0))
        stage.operators.kill(dice.choice(stage.operators.alive))
        killed = time.monotonic()
        stage.operators.start()
        stage.publish(third, 20, 2.0)
        try:
            wait_until(
                lambda: all(_at_nought(stage, worker) for worker in workers), 90, "all has run, and is at nought", pause=0.2
            )
            seconds.append(time.monotonic() - killed)
        except AssertionError as late:
            stuck.append(str(late))
    wait_until(lambda: not any(stage.eyes.there(worker.name) for worker in workers), 120, "all are at nought", pause=0.5)
    removed = stage.agent.busy_removed(since=since)
    for process in stage.operators.alive[1:]:
        stage.operators.end(process)
    stage.clear(*workers)
    return Row(
        "kills",
        f"an operator of two killed {turns} times at random under load",
        (most("busy pods removed", len(removed), 0), most("times it did not converge", len(stuck), 0)),
        {"seconds_until_at_nought": seconds, "removed": removed, "stuck": stuck},
        f"from a kill until all had run and all were at zero again: up to {percentile(seconds, 99):.0f} s" if seconds else "",
    )


def _at_nought(stage: Stage, worker: QueueWorkerObject) -> bool:
    return stage.in_flight(worker) == (0, 0) and not stage.eyes.there(worker.name)


def _serving(stage: Stage, name: str) -> int:
    """Workers that are registered and take tasks."""
    from windrow.broker import observe

    return sum(worker.name == name and worker.drain is None for worker in observe.workers(stage.client))
