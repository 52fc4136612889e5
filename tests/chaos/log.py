"""What the log of one run consists of; read by the checker, written by bodies, the producer, Redis' MONITOR and the harness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FINALS = frozenset({"success", "failed", "timed_out", "lost", "expired", "cancelled", "rejected"})


@dataclass(frozen=True)
class Line:
    """One line that a body wrote: it started, ran to its `end`, or was left by an exception (`stop`)."""

    at: float
    pid: int
    what: str
    task: str
    """Celery's task id."""
    step: str
    """Task name and number of the retry: what may run to its end once."""
    token: str
    """One run of a body: the start and the end of it carry the same."""
    label: str = "-"
    """What the producer calls this step; `-` when it gave it no name."""
    extra: str = ""
    """A `start`'s due time on the monotonic clock, a `stop`'s exception."""


@dataclass(frozen=True)
class Call:
    """One call of the producer: accepted, or refused by an exception."""

    at: float
    accepted: bool
    task: str
    label: str
    expects: frozenset[str] = frozenset()
    """The steps (by label) that must have happened when all is over."""
    durable: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Told:
    """One event on the way to the records, as Redis' MONITOR saw it."""

    at: float
    kind: str
    execution: str
    task: str | None
    state: str | None
    attempt: str = ""


@dataclass(frozen=True)
class Outage:
    """A time in which a part was away; what the harness did, by its own clock."""

    what: str
    start: float
    end: float


@dataclass(frozen=True)
class Log:
    """One run, whole. Times are monotonic seconds of one machine."""

    calls: Sequence[Call] = ()
    lines: Sequence[Line] = ()
    told: Sequence[Told] = ()
    recorded: Mapping[str, tuple[str, str]] | None = None
    """Execution id → (task id, state) as PostgreSQL had it at the end; None when the system keeps no records."""
    deaths: Mapping[int, float] = field(default_factory=dict)
    """When each process that ran bodies was seen to end."""
    kills: Mapping[int, float] = field(default_factory=dict)
    """When the harness killed a process, or the tree it was part of."""
    frozen: Sequence[tuple[int, float, float]] = ()
    """Processes that the harness held with SIGSTOP: pid, from, to."""
    outages: Sequence[Outage] = ()
    expected: Mapping[str, str] = field(default_factory=dict)
    """The final of tasks that end their process, or are ended by their limits, by name; all others succeed."""
    lost: Sequence[tuple[float, float]] = ()
    """Redis lost what it was told between these moments."""
    end: float = 0.0
    accounts: Sequence[tuple[str, Mapping[tuple[str, str, str, str], int], Mapping[tuple[str, str, str, str], int]]] = ()
    """Pairs of accounts of the same exact figures (`tests.chaos.totals`)."""


def read_lines(path: Path) -> list[Line]:
    """What the bodies wrote; a line that a dying process left half is no line."""
    found = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        parts = text.split(" ")
        if len(parts) == 8:
            found.append(Line(float(parts[0]), int(parts[1]), *parts[2:]))
    return found


def read_calls(path: Path) -> list[Call]:
    """What the producer wrote: time, accepted or refused, task id, label, d or p, expected labels, reason."""
    found = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        parts = text.split("\t")
        if len(parts) == 7:
            expects = frozenset(parts[5].split(",")) if parts[5] else frozenset()
            found.append(Call(float(parts[0]), parts[1] == "accepted", parts[2], parts[3], expects, parts[4] == "d", parts[6]))
    return found
