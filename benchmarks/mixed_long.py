"""The row `mixed_long`: how long short tasks wait behind a few long ones, on four workers of two slots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from benchmarks import waits
from benchmarks.fleet import fleet, noted
from benchmarks.sides import BARE, WINDROW, Side
from benchmarks.stack import Stack, until

WORKERS, SLOTS = 4, 2
LOAD = 0.6
"""Of what the slots carry."""
PER_SECOND = LOAD * WORKERS * SLOTS / waits.MEAN_SECONDS
SECONDS = 25.0
SIDES = {"multiplier 4": BARE[0], "multiplier 1": replace(BARE[0], settings={"BENCH_PREFETCH": "1"}), "windrow": WINDROW}


def turn(stack: Stack, side: Side, count: int) -> list[float]:
    """One turn of one side: how long each short task waited, in ms."""
    with fleet(stack, side, WORKERS):
        waits.call(stack, side.producer, "mixed", count, PER_SECOND)
        until(lambda: len(waits.read(noted(stack))) >= count, 60, "all have started")
        return [wait * 1000 for wait, work in waits.read(noted(stack)) if work < waits.LONG_SECONDS]


def turns(stack: Stack, rounds: int, say: Callable[[str], None]) -> dict[str, dict[str, list[float]]]:
    """p50 and p99 in ms by side and round; the same arrivals in every turn."""
    found: dict[str, dict[str, list[float]]] = {who: defaultdict(list) for who in SIDES}
    for number in range(rounds):
        order = list(SIDES.items())
        for who, side in order[number % 3 :] + order[: number % 3]:
            waited = turn(stack, side, int(SECONDS * PER_SECOND))
            found[who]["p50"].append(waits.quantile(waited, 0.5))
            found[who]["p99"].append(waits.quantile(waited, 0.99))
            say(
                f"mixed_long: round {number + 1}, {who}: p50 {found[who]['p50'][-1]:.1f} ms, p99 {found[who]['p99'][-1]:.1f} ms"
            )
    return {who: dict(figures) for who, figures in found.items()}
