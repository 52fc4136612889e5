"""What a queue's spec should say, from what its attempts were seen to use. Pure.

Each recommendation is one rule over a few figures, with the sentence that says so. The figures err on the side of memory: a
process's resident memory counts the pages that it shares with its siblings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from windrow.queues.model import HARD_AFTER_SOFT
from windrow.queues.quantities import format_duration, format_memory

FEWEST: Final = 50
"""Attempts, below which nothing is recommended."""

MIB: Final = 1 << 20
STEP: Final = 32 * MIB
"""Amounts of memory are rounded up to a multiple of this."""
MAIN_MORE: Final = 16 * MIB
"""What a worker's main process holds beyond the least of its children: 14 MiB were seen (64 and 50)."""
HEADROOM: Final = 1.25
"""What a process may hold beyond the 99th percentile before it is replaced."""
MOST_PROCESSES: Final = 16
MOST_SHARING: Final = 200
"""Slots that are recommended at most: processes of their own, or sharing one."""
LEAST_BUSY: Final = 0.01
MOSTLY_WAITS: Final = 0.2
"""CPU time over run time, below which slots that share a process serve better."""
SHORTEST_SOFT: Final = 30.0
LONGEST_SOFT: Final = 6 * 86_400.0
"""The hard limit may be a week at most."""
_ROUND: Final = (30, 45, 60, 90, *(minutes * 60 for minutes in (2, 3, 5, 10, 15, 20, 30, 45, 60, 90)))
_DAY: Final = 86_400


@dataclass(frozen=True)
class Seen:
    """What was recorded of a queue's attempts. Times in seconds, memory in bytes; None where nothing is known."""

    queue: str
    attempts: int
    """Attempts that ended, whatever their outcome."""
    timed_out: int
    killed: int
    run_p50: float | None
    run_p95: float | None
    run_p99: float | None
    run_max: float | None
    """Of those that came to an end by themselves: success, failed, retried."""
    measured: int
    """Attempts whose peak is known."""
    peak_least: int | None
    peak_p50: int | None
    peak_p99: int | None
    peak_max: int | None
    busy: float | None
    """CPU seconds for each second of running; None when most that were measured have no CPU time."""
    at_once: int
    """The most attempts that one worker was seen to run at a time."""
    shared: bool
    """Whether attempts were seen to overlap in one process (pools `asyncio` and `threads`)."""


@dataclass(frozen=True)
class Budget:
    """What a worker may have: cores, and bytes of memory (None: no bound)."""

    cpus: float = 1.0
    memory: int | None = None


@dataclass(frozen=True)
class Advice:
    """One recommended value: the key in the spec, its value as it is written there, and the figure it rests on."""

    key: str
    value: int | str
    reason: str


@dataclass(frozen=True)
class Recommendation:
    """All that is recommended for a queue; `advice` is empty when `sentence` says why."""

    seen: Seen
    advice: tuple[Advice, ...] = ()
    sentence: str | None = None


def recommend(seen: Seen, budget: Budget) -> Recommendation:
    """What the queue's spec should say."""
    if seen.attempts < FEWEST:
        sentence = f"at least {FEWEST} attempts must be on record to recommend from, and {seen.attempts} are"
        return Recommendation(seen, sentence=sentence)
    process = _process(seen)
    if process is not None and budget.memory is not None and process.limit(1) > budget.memory:
        sentence = (
            f"a worker must have {format_memory(process.limit(1))} for one slot (peak {_mib(process.largest)}), "
            f"and {format_memory(budget.memory)} are given"
        )
        return Recommendation(seen, sentence=sentence)
    slots = _concurrency(seen, budget, process)
    advice = [slots]
    if process is not None:
        advice += _memory(process, int(slots.value))
    return Recommendation(seen, tuple(advice + _limits(seen)))


# --- memory --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Process:
    """How large a worker's processes are: its main one, and one that runs attempts."""

    main: int
    usual: int
    largest: int
    recycle: int
    shared: bool

    def request(self, slots: int) -> int:
        return _up(self.main + (1 if self.shared else slots) * self.usual)

    def limit(self, slots: int) -> int:
        others = 0 if self.shared else slots - 1
        return _up(self.main + max(self.largest, self.recycle) + others * self.recycle)


def _process(seen: Seen) -> _Process | None:
    if seen.measured < FEWEST or seen.peak_least is None or seen.peak_p99 is None or seen.peak_max is None:
        return None
    recycle = _up(int(seen.peak_p99 * HEADROOM))
    return _Process(seen.peak_least + MAIN_MORE, seen.peak_p99, seen.peak_max, recycle, seen.shared)


def _memory(process: _Process, slots: int) -> list[Advice]:
    main = f"the worker's main process ({_mib(process.main)})"
    if process.shared:
        request = f"{main} and the process with the tasks, at its peak's p99 of {_mib(process.usual)}"
        limit = f"{main} and the process with the tasks, at its largest peak of {_mib(process.largest)} or at recycle.memory"
    else:
        request = f"{main} and {slots} × the peak's p99 of {_mib(process.usual)}"
        limit = f"{main}, one slot at the largest peak of {_mib(process.largest)}, {slots - 1} at recycle.memory"
    return [
        Advice("template.resources.requests.memory", format_memory(process.request(slots)), request),
        Advice("template.resources.limits.memory", format_memory(process.limit(slots)), limit),
        Advice(
            "recycle.memory",
            format_memory(process.recycle),
            f"{HEADROOM:g} × the peak's p99 of {_mib(process.usual)}: a process that keeps more has grown",
        ),
    ]


def _up(amount: int) -> int:
    return -(-amount // STEP) * STEP


def _mib(amount: int) -> str:
    return f"{math.ceil(amount / MIB)} MiB"


# --- concurrency ---------------------------------------------------------------------------------------------------------


def _concurrency(seen: Seen, budget: Budget, process: _Process | None) -> Advice:
    slots, reason = _by_cpu(seen, budget)
    if process is not None and budget.memory is not None and process.limit(slots) > budget.memory:
        while process.limit(slots) > budget.memory:
            slots -= 1
        reason = f"more than {slots} don't fit in {format_memory(budget.memory)} of memory"
    return Advice("concurrency", slots, reason)


def _by_cpu(seen: Seen, budget: Budget) -> tuple[int, str]:
    if seen.busy is None:
        return seen.at_once, f"as many as were seen at once on a worker ({seen.at_once}): CPU time is not on record"
    # What shares a process shares its interpreter's lock too.
    cores = min(budget.cpus, 1.0) if seen.shared else budget.cpus
    most = MOST_SHARING if seen.shared else MOST_PROCESSES
    # A little over a slot is a slot: a share of 0.49 of a core is two slots, and so is one of 0.52.
    slots = min(max(int(cores / max(seen.busy, LEAST_BUSY) + 0.1), 1), most)
    reason = f"attempts compute for {seen.busy:.0%} of their run time, and a worker has {_cores(cores)}"
    if seen.busy < MOSTLY_WAITS and not seen.shared:
        reason += "; they mostly wait: pool asyncio or threads gives slots that cost less memory"
    return slots, reason


def _cores(cores: float) -> str:
    return "1 core" if cores == 1 else f"{cores:g} cores"


# --- time limits ---------------------------------------------------------------------------------------------------------


def _limits(seen: Seen) -> list[Advice]:
    if seen.run_p99 is None or seen.run_max is None:
        return []
    soft = min(_nice(max(3 * seen.run_p99, 1.5 * seen.run_max, SHORTEST_SOFT)), LONGEST_SOFT)
    hard = soft + max(HARD_AFTER_SOFT, soft / 10)
    reason = (
        f"the most of 3 × the run time's p99 of {seen.run_p99:.3g} s, 1.5 × the longest of {seen.run_max:.3g} s, "
        f"and {SHORTEST_SOFT:g} s"
    )
    if seen.timed_out:
        reason += f"; {seen.timed_out} ended at a limit, and how long they would have run is not known"
    return [
        Advice("timeLimits.soft", format_duration(soft), reason),
        Advice("timeLimits.hard", format_duration(hard), "time to clean up after the soft limit"),
    ]


def _nice(seconds: float) -> float:
    """A number that a person would have chosen, at least so long."""
    for choice in _ROUND:
        if seconds <= choice:
            return float(choice)
    return math.ceil(seconds / 1800) * 1800.0 if seconds <= _DAY else math.ceil(seconds / 3600) * 3600.0
