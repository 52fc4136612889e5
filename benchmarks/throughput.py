"""Rows of tasks a second: the queue is filled, then one worker empties it; the clock runs from a tenth of it on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks import counter, database_task, measure
from benchmarks.measure import Turn
from benchmarks.sides import BARE, Side, log
from benchmarks.stack import Stack, process, produce, until


def turn(stack: Stack, side: Side, task: str, count: int) -> Turn:
    """One turn of one side on an empty Redis: `count` tasks of `bench.<task>`."""
    stack.empty()
    counter.reset(stack.counter)
    stack.execute(database_task.TABLE)
    with side.services(stack) as services:
        produce(stack, side.producer, side.tasks.get(task, task), count)
        until(lambda: side.settled(stack), 60, "what was accepted is on record")
        platform = [stack.redis_pid(), stack.postgres_pid(), *services]
        with process(side.worker(stack), stack.environment(side.settings), log(stack, "worker")) as worker:
            counter.wait(stack.counter, count // 10, 120)
            first = measure.read(stack.client, worker.pid, platform)
            begun = stack.counter.stat().st_size
            counter.wait(stack.counter, count, 600)
            last = measure.read(stack.client, worker.pid, platform)
            until(lambda: side.settled(stack), 60, "the records are written")
            settled = measure.read(stack.client, worker.pid, platform)
            return measure.between(first, last, settled, count - begun)


def best_bare(stack: Stack, task: str, count: int, say: Callable[[str], None]) -> tuple[Side, dict[str, list[float]]]:
    """The fastest way to run bare Celery here, from two short turns of each; with the tasks/s that were seen."""
    seen: dict[str, list[float]] = {side.name: [] for side in BARE}
    for _ in range(2):
        for side in BARE:
            seen[side.name].append(turn(stack, side, task, count).tasks_per_s)
            say(f"{task}: bare, {side.name}: {seen[side.name][-1]:,.0f} tasks/s")
    return max(BARE, key=lambda side: measure.summarise(seen[side.name]).median), seen


def alternate(
    stack: Stack, bare: Side, windrow: Side, task: str, count: int, rounds: int, say: Callable[[str], None], bare_count: int = 0
) -> dict[str, Sequence[Turn]]:
    """`rounds` turns of each side; who goes first changes with each round.

    `bare_count` is how many tasks bare Celery gets where as many as Windrow's would take it minutes.
    """
    turns: dict[str, list[Turn]] = {"bare": [], "windrow": []}
    for number in range(rounds):
        for side in (bare, windrow) if number % 2 == 0 else (windrow, bare):
            result = turn(stack, side, task, bare_count or count if side is bare else count)
            turns[side.producer].append(result)
            say(
                f"{task}: round {number + 1}, {side.name}: {result.tasks_per_s:,.0f} tasks/s, "
                f"{result.cpu_per_1000:.2f} CPU s and {result.round_trips * 1000:,.0f} round trips per 1,000"
            )
    return dict(turns)
