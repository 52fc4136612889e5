"""The judge of the end-to-end rows: pure, from what bodies told, what the producer was told, and the records."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

UNSENT_S = 0.5
"""An end is acknowledged within milliseconds; so long it takes on a machine that is busy."""
DYING_S = 5.0
"""From asking for a container's death until it is dead."""


@dataclass(frozen=True)
class Line:
    """What one body told the evidence pod, by that pod's clock: `start`, `beat` or `end`."""

    at: float
    what: str
    task: str
    """Celery's task id."""
    token: str
    """One run of a body."""
    pod: str
    version: str = ""


@dataclass(frozen=True)
class Blow:
    """A worker that was killed without any grace."""

    pod: str
    at: float
    """When that was asked for, by the evidence pod's clock."""

    def cuts_off(self, start: float, end: Line) -> bool:
        """Whether this end, of a run that had started before, may have died with its worker on its way to Redis."""
        return end.pod == self.pod and start < self.at and self.at - UNSENT_S <= end.at <= self.at + DYING_S


@dataclass(frozen=True)
class Verdict:
    """The figures of one row."""

    accepted: int
    missing: int
    """Accepted, and without an end of its body, or not `success` on record."""
    finished_twice: int
    """Tasks whose body came to its end twice, those aside whose first end can't have been told."""
    repeated: int
    """Starts of a body beyond the first."""
    overlapping: int
    """Tasks two of whose bodies were alive at the same moment."""
    unsent: int = 0
    """Tasks whose body ended while its worker was being killed, and again elsewhere: the first end never reached Redis."""
    detail: Mapping[str, list[str]] = field(default_factory=dict)


def read(text: str) -> list[Line]:
    """The evidence pod's file; a half line is no line."""
    found = []
    for row in text.splitlines():
        parts = row.split(" ")
        if len(parts) == 6:
            found.append(Line(float(parts[0]), *parts[1:]))
    return found


def judge(accepted: Iterable[str], lines: Iterable[Line], records: Mapping[str, str], blow: Blow | None = None) -> Verdict:
    """Judge the tasks of one row; `records` has the state on record by task id, `blow` is what left no grace."""
    wanted = list(accepted)
    runs: dict[str, dict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        runs[line.task][line.token].append(line)
    missing, twice, overlapping, repeated, unsent = [], [], [], 0, 0
    for task in wanted:
        mine = runs.get(task, {})
        found = [(min(line.at for line in run), end) for run in mine.values() if (end := _end(run))]
        ends = len(found)
        if not ends or records.get(task) != "success":
            missing.append(f"{task}: {len(mine)} starts, {ends} ends, {records.get(task)!r} on record")
        cut_off = [end for start, end in found if blow is not None and blow.cuts_off(start, end)]
        if ends - len(cut_off) > 1:
            twice.append(task)
        elif ends > 1:
            unsent += 1
        repeated += max(0, len(mine) - 1)
        spans = sorted((min(line.at for line in run), max(line.at for line in run)) for run in mine.values())
        if any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans)):
            overlapping.append(task)
    detail = {"missing": missing, "finished_twice": twice, "overlapping": overlapping}
    return Verdict(
        len(wanted),
        len(missing),
        len(twice),
        repeated,
        len(overlapping),
        unsent,
        {name: what[:5] for name, what in detail.items() if what},
    )


def _end(run: Iterable[Line]) -> Line | None:
    return next((line for line in run if line.what == "end"), None)


def p99(values: Iterable[float]) -> float:
    """The 99th percentile, by nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-99 * len(ordered) // 100) - 1)] if ordered else 0.0
