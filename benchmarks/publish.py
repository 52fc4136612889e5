"""The row `publish`: `delay()` and `adelay()` calls a second in one process, turn by turn, nothing consuming."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.sides import BARE, WINDROW, Side
from benchmarks.stack import Stack, produce, until


def turns(stack: Stack, count: int, rounds: int, say: Callable[[str], None]) -> dict[str, Sequence[float]]:
    """Calls a second of each side and round; Windrow's server runs and records during its turns."""
    ways: list[tuple[str, Side, tuple[str, ...]]] = [
        ("bare", BARE[0], ()), ("windrow", WINDROW, ()), ("awaited", WINDROW, ("adelay",)),
    ]  # fmt: skip
    found: dict[str, list[float]] = {name: [] for name, _, _ in ways}
    for number in range(rounds):
        for name, side, how in ways if number % 2 == 0 else ways[::-1]:
            stack.empty()
            with side.services(stack):
                found[name].append(1 / produce(stack, side.producer, "noop", count, *how))
                until(lambda side=side: side.settled(stack), 60, "what was accepted is on record")
            say(f"publish: round {number + 1}, {name}: {found[name][-1]:,.0f} calls/s")
    return dict(found)
