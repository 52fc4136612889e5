"""The judge of the end-to-end rows: pure, from what bodies told, what the producer was told, and the records."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


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
class Verdict:
    """The figures of one row."""

    accepted: int
    missing: int
    """Accepted, and without an end of its body, or not `success` on record."""
    finished_twice: int
    """Tasks whose body came to its end twice."""
    repeated: int
    """Starts of a body beyond the first."""
    overlapping: int
    """Tasks two of whose bodies were alive at the same moment."""
    detail: Mapping[str, list[str]] = field(default_factory=dict)


def read(text: str) -> list[Line]:
    """The evidence pod's file; a half line is no line."""
    found = []
    for row in text.splitlines():
        parts = row.split(" ")
        if len(parts) == 6:
            found.append(Line(float(parts[0]), *parts[1:]))
    return found


def judge(accepted: Iterable[str], lines: Iterable[Line], records: Mapping[str, str]) -> Verdict:
    """Judge the tasks of one row; `records` has the state on record by task id."""
    wanted = list(accepted)
    runs: dict[str, dict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        runs[line.task][line.token].append(line)
    missing, twice, overlapping, repeated = [], [], [], 0
    for task in wanted:
        mine = runs.get(task, {})
        ends = sum(any(line.what == "end" for line in run) for run in mine.values())
        if not ends or records.get(task) != "success":
            missing.append(f"{task}: {len(mine)} starts, {ends} ends, {records.get(task)!r} on record")
        if ends > 1:
            twice.append(task)
        repeated += max(0, len(mine) - 1)
        spans = sorted((min(line.at for line in run), max(line.at for line in run)) for run in mine.values())
        if any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans)):
            overlapping.append(task)
    found = {"missing": missing, "finished_twice": twice, "overlapping": overlapping}
    return Verdict(
        len(wanted),
        len(missing),
        len(twice),
        repeated,
        len(overlapping),
        {name: what[:5] for name, what in found.items() if what},
    )


def p99(values: Iterable[float]) -> float:
    """The 99th percentile, by nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-99 * len(ordered) // 100) - 1)] if ordered else 0.0
