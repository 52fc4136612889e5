"""What a row of the suite says, and how its outcome is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tests.chaos.checker import Verdict
from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.stage import Kind

Limit = float | Callable[[Verdict, "Row", int], float]
"""The most that a figure may be: a number, or what follows from the verdict, the row and the number of blows."""


@dataclass(frozen=True)
class Row:
    """One fault."""

    name: str
    fault: str
    play: Fault
    rests_on: str
    """What keeps the promise, for the page."""
    load: Load = field(default_factory=Load)
    kinds: tuple[Kind, ...] = field(default=(Kind(), Kind()))
    blows: int = 0
    limits: Mapping[str, Limit] = field(default_factory=dict)
    """Over those that hold in every row."""
    expected: Mapping[str, str] = field(default_factory=dict)
    """The final of tasks that are no good, by name; all others must succeed."""
    entry: tuple[str, ...] = ()
    """What is run in place of `-m windrow.cli`."""
    clock_of: str = ""
    """Whose wall clock can be stepped: `worker` or `server`."""
    servers: int = 1
    settle_s: float = 60.0
    weight: float = 1.0
    """How much of the machine it needs: rows run beside each other up to 2."""
    celery: str = ""
    """Why the row makes no sense for bare Celery; empty when it does."""
    short: bool = False
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """Slots of one worker."""
        return max(kind.slots for kind in self.kinds)

    @property
    def tasks(self) -> int:
        """How many tasks there must be; a canvas has three or more steps."""
        return max(1000, self.load.count) if self.load.count >= 300 else self.load.count

    def shortened(self) -> Row:
        """The row with fewer tasks and blows."""
        count = max(100, self.load.count // 6)
        return replace(self, load=replace(self.load, count=count), blows=max(1, self.blows // 8))


ALWAYS: Mapping[str, Limit] = {
    "missing": 0,
    "finished_twice": 0,
    "overlapping": 0,
    "interrupted": 0,
    "wrong": 0,
    "early": 0,
    "apart": 0,
}


def a_slot_each(verdict: Verdict, row: Row, blows: int) -> float:
    """The slots of one worker."""
    return row.slots * blows


def neighbours(verdict: Verdict, row: Row, blows: int) -> float:
    """The slots of one worker, twice for each bad task."""
    return 2 * row.slots * sum(verdict.states.get(state, 0) for state in set(row.expected.values()))


def lost_tail(verdict: Verdict, row: Row, blows: int) -> float:
    """Those accepted in what Redis lost."""
    return verdict.lost_tail


def once_each_slot(verdict: Verdict, row: Row, blows: int) -> float:
    """Slots and unsent acknowledgements."""
    return row.slots * blows + verdict.unsent


def misses(verdict: Verdict, row: Row, blows: int) -> list[str]:
    """What the row asked and the run did not give, in one sentence each."""
    found = []
    for name, limit in {**ALWAYS, **row.limits}.items():
        most = limit(verdict, row, blows) if callable(limit) else limit
        value = getattr(verdict, name)
        if value > most:
            found.append(f"{name} must be at most {most:g}, and is {value:g}")
    if verdict.accepted < row.tasks:
        found.append(f"accepted must be at least {row.tasks}, and is {verdict.accepted}")
    return found
