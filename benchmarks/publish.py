"""The row `publish`: `delay()` calls a second in one process, the sides turn by turn, nothing consuming."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.sides import BARE, WINDROW
from benchmarks.stack import Stack, produce, until


def turns(stack: Stack, count: int, rounds: int, say: Callable[[str], None]) -> dict[str, Sequence[float]]:
    """Calls a second of each side and round; Windrow's server runs and records during its turns."""
    found: dict[str, list[float]] = {"bare": [], "windrow": []}
    for number in range(rounds):
        for side in (BARE[0], WINDROW) if number % 2 == 0 else (WINDROW, BARE[0]):
            stack.client.flushall()
            with side.services(stack):
                found[side.producer].append(1 / produce(stack, side.producer, "noop", count))
                until(lambda side=side: side.settled(stack), 60, "what was accepted is on record")
            say(f"publish: round {number + 1}, {side.producer}: {found[side.producer][-1]:,.0f} calls/s")
    return dict(found)
