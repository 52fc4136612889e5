"""Every row of the suite: which fault, under which load, and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from tests.chaos import faults
from tests.chaos.checker import Verdict
from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.proxy import acknowledges, takes
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
    states: Mapping[str, Callable[[int], bool]] = field(default_factory=dict)
    own_ends: frozenset[str] = frozenset()
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

    def shortened(self) -> Row:
        """The row with fewer tasks and blows."""
        count = max(100, self.load.count // 6)
        return replace(self, load=replace(self.load, count=count), blows=max(1, self.blows // 8))


ALWAYS: Mapping[str, Limit] = {"missing": 0, "finished_twice": 0, "overlapping": 0, "interrupted": 0, "early": 0}


def once_each_slot(verdict: Verdict, row: Row, blows: int) -> float:
    """Slots and unsent acknowledgements, for each blow."""
    return row.slots * blows + verdict.unsent


KILLS: Mapping[str, Limit] = {"repeated": once_each_slot, "recover_s": 10.0}

_ROWS = (
    Row(
        "child",
        "kill -9 a pool child",
        faults.kill_children,
        "the parent sees the child end, and gives its message back in the same step that counts it",
        blows=60,
        limits={"repeated": once_each_slot, "recover_s": 1.0},
        short=True,
    ),
    Row(
        "worker",
        "kill -9 a worker, at random",
        faults.kill_workers,
        "the message is in the worker's in-flight set from the step that takes it; 8 s of silence, counted by the leader",
        blows=40,
        limits=KILLS,
        short=True,
    ),
    Row(
        "worker-take",
        "kill -9 a worker within 1 ms of a take",
        partial(faults.kill_when, sees=takes),
        "taking is one atomic step: the message is in the list or in the in-flight set",
        blows=25,
        limits=KILLS,
    ),
    Row(
        "worker-ack",
        "kill -9 a worker within 1 ms of an acknowledgement",
        partial(faults.kill_when, sees=acknowledges),
        "the acknowledgement and the final are one step: both are there, or neither",
        blows=25,
        limits=KILLS,
    ),
    Row(
        "tree",
        "kill -9 all processes of a worker at once",
        faults.kill_trees,
        "as for a worker: nothing of it need live on to give its messages back",
        blows=30,
        limits=KILLS,
    ),
)

ROWS: Mapping[str, Row] = {row.name: row for row in _ROWS}


def misses(verdict: Verdict, row: Row, blows: int) -> list[str]:
    """What the row asked and the run did not give, in one sentence each."""
    found = []
    for name, limit in {**ALWAYS, **row.limits}.items():
        most = limit(verdict, row, blows) if callable(limit) else limit
        value = getattr(verdict, name)
        if value > most:
            found.append(f"{name} must be at most {most:g}, and is {value:g}")
    for state, holds in row.states.items():
        if not holds(verdict.states.get(state, 0)):
            found.append(f"{state} may not be the final of {verdict.states.get(state, 0)} executions")
    if verdict.accepted < row.load.count:
        found.append(f"accepted must be at least {row.load.count}, and is {verdict.accepted}")
    return found
