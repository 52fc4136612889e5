"""Lengths of time in rules, scaled by one factor: a drill with factor 60 sees in a minute what a shift sees in an hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from windrow.queues.quantities import parse_duration

BURN: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
"""The windows over which budgets are watched (Google's SRE workbook, chapter 5), by the names that recording rules carry."""

BUDGET: Final = "3d"
"""The window of what is left of a budget: the longest there is."""


@dataclass(frozen=True)
class Windows:
    """Writes lengths of time for Prometheus, each divided by `factor`."""

    factor: float = 1.0

    def __call__(self, nominal: str) -> str:
        """A length such as `5m` or `3d`, divided by the factor, as Prometheus writes it (whole milliseconds).

        Raises ValueError when it is none, or comes out below a millisecond.
        """
        milliseconds = round(self.seconds(nominal) * 1000)
        if milliseconds < 1:
            raise ValueError(f"a window must be at least 1 ms long, and {nominal} divided by {self.factor:g} is not")
        for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
            if milliseconds % size == 0:
                return f"{milliseconds // size}{unit}"
        return f"{milliseconds}ms"

    def seconds(self, nominal: str) -> float:
        """The same in seconds."""
        days = nominal.removesuffix("d")
        return (86_400 * int(days) if days != nominal else parse_duration(nominal)) / self.factor
