"""The judge: works from a run's log alone, and does no I/O.

An execution is known to the log by its task id (the producer's word), its execution id (Redis' MONITOR and PostgreSQL) and
the lines of its bodies. Where a figure could be read two ways, the stricter one is taken, but for three: a process seen dead
at first sight died at its last line; a step and its retry are two steps, since Celery publishes the retry before the body
unwinds; two attempts count as overlapping from 5 ms on, the precision with which deaths are seen.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tests.chaos.log import FINALS, Line, Log, Told
from tests.chaos.totals import apart

PRECISION = 0.005
UNSENT_SECONDS = 0.02
"""An acknowledgement leaves within this time of a body's end; what is killed sooner may have said nothing."""
GIVEN_UP = frozenset(
    {"CancelledError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "WorkerShutdown", "WorkerTerminate"}
)
"""Exceptions by which somebody else ends a body: neither the task's own nor its limits'."""


@dataclass(frozen=True)
class Attempt:
    """One run of a body. `end` is when it was over, `how`: `end`, `stop`, `death`, or `open` when it is not over."""

    task: str
    step: str
    label: str
    pid: int
    start: float
    end: float
    how: str
    extra: str = ""
    due: str = ""


@dataclass(frozen=True)
class Verdict:
    """The figures of one run, and what they were counted from."""

    accepted: int = 0
    """Calls that were accepted; of a canvas, each of its steps."""
    missing: int = 0
    finished_twice: int = 0
    overlapping: int = 0
    repeated: int = 0
    interrupted: int = 0
    refused: int = 0
    recover_s: float = 0.0
    """From a death until the message is back in its queue, or from an outage's end until anything starts."""
    next_s: float = 0.0
    """From a death until the next attempt starts, but for what was put into quarantine, where it waits to run alone."""
    wrong: int = 0
    """Executions whose final is another than the task's nature asks for."""
    overlap_s: float = 0.0
    early: int = 0
    early_s: float = 0.0
    late_s: float = 0.0
    missing_durable: int = 0
    stuck: int = 0
    """Of the missing: those on record."""
    lost_tail: int = 0
    """Plain executions accepted in what Redis lost: so many may be missing."""
    unsent: int = 0
    """Bodies that ended so shortly before their process was killed that their acknowledgements may not have left."""
    apart: int = 0
    """Exact totals that SQL counts otherwise over the records, or that the leading server tells otherwise."""
    states: Mapping[str, int] = field(default_factory=dict)
    """How many finals of each state."""
    detail: Mapping[str, list[str]] = field(default_factory=dict)


def attempts(log: Log) -> list[Attempt]:
    """Every run of a body, in the order of their starts."""
    ends: dict[str, Line] = {line.token: line for line in log.lines if line.what in ("end", "stop")}
    found = []
    for line in log.lines:
        if line.what != "start":
            continue
        end = ends.get(line.token)
        if end is not None:
            at, how, extra = end.at, end.what, end.extra
        elif line.pid in log.deaths:
            at, how, extra = max(log.deaths[line.pid], line.at), "death", ""
        else:
            at, how, extra = log.end, "open", ""
        found.append(Attempt(line.task, line.step, line.label, line.pid, line.at, at, how, extra, line.extra))
    return sorted(found, key=lambda attempt: attempt.start)


def check(log: Log) -> Verdict:
    """Judge one run."""
    runs = attempts(log)
    by_step: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for run in runs:
        by_step[run.task, run.step].append(run)
    finals, task_of = _finals(log)
    missing, durable = _missing(log, finals, task_of)
    twice = _finished_twice(log, finals, task_of)
    overlaps = [each for group in by_step.values() for each in _overlaps(group, log)]
    repeated = {key: ended - 1 for key, group in by_step.items() if (ended := sum(run.how == "end" for run in group)) > 1}
    interrupted = [run for run in runs if _interrupted(run, log)]
    early, early_s, late = _dues(runs)
    recovered, started = _recovery(by_step.values(), log)
    wrong = _wrong(finals, task_of, log)
    differing = apart(log.accounts)
    states = Counter(state for told in finals.values() for state in told)
    accepted = [call for call in log.calls if call.accepted]
    return Verdict(
        accepted=sum(max(1, len(call.expects)) for call in accepted),
        missing=len(missing),
        finished_twice=len(twice),
        overlapping=len(overlaps),
        repeated=sum(repeated.values()),
        interrupted=len(interrupted),
        refused=sum(told.kind == "refused" for told in log.told),
        recover_s=round(recovered, 3),
        next_s=round(started, 3),
        wrong=len(wrong),
        overlap_s=round(max((seconds for seconds, _ in overlaps), default=0.0), 3),
        early=len(early),
        early_s=round(early_s, 3),
        late_s=round(late, 3),
        missing_durable=len(durable),
        stuck=sum(state not in FINALS for _, state in (log.recorded or {}).values()),
        lost_tail=sum(not call.durable and _in_lost_tail(call.at, log) for call in accepted),
        unsent=sum(run.how == "end" and 0 <= log.kills.get(run.pid, 0) - run.end <= UNSENT_SECONDS for run in runs),
        apart=len(differing),
        states=dict(states),
        detail={
            name: found[:10]
            for name, found in {
                "missing": missing,
                "finished_twice": twice,
                "overlapping": [said for _, said in overlaps],
                "repeated": [f"{task} {step}" for task, step in repeated],
                "interrupted": [f"{run.task} {run.step} pid {run.pid} {run.how} {run.extra}" for run in interrupted],
                "wrong": wrong,
                "early": early,
                "apart": differing,
            }.items()
            if found
        },
    )


def _finals(log: Log) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The finals told of each execution, and the task id of each.

    Where Redis lost what it was told, a worker may tell the same final of the same attempt again: it counts once.
    """
    finals: dict[str, list[str]] = defaultdict(list)
    seen: set[Told] = set()
    task_of: dict[str, str] = {}
    for told in log.told:
        if told.task is not None:
            task_of.setdefault(told.execution, told.task)
        if told.state not in FINALS or _in_lost_tail(told.at, log):
            continue
        same = replace(told, at=0.0)
        if not log.lost or same not in seen:
            seen.add(same)
            finals[told.execution].append(told.state or "")
    for execution, (task, _) in (log.recorded or {}).items():
        task_of.setdefault(execution, task)
    return finals, task_of


def _missing(log: Log, finals: Mapping[str, list[str]], task_of: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What was accepted and has no final, in the stream or on record; of these, what was accepted durably.

    A step that a canvas promised is missing when no body of that name ran to its end. With records, each execution that is on
    record must be final there, whoever accepted it.
    """
    final_tasks = {task_of.get(execution, execution) for execution in finals}
    missing: dict[str, str] = {}
    durable = []
    if log.recorded is not None:
        final_tasks = {task for task, state in log.recorded.values() if state in FINALS}
        missing = {task: f"{task} is {state!r} on record" for task, state in log.recorded.values() if state not in FINALS}
    ended = {line.label for line in log.lines if line.what == "end"}
    for call in log.calls:
        if not call.accepted:
            continue
        if not call.expects and call.task not in final_tasks:
            missing.setdefault(call.task, f"{call.task} accepted at {call.at:.3f} has no final")
        if call.task in missing and call.durable:
            durable.append(call.task)
        for label in call.expects - ended:
            missing[label] = f"step {label} of {call.task} did not run to its end"
    return list(missing.values()), durable


def _finished_twice(log: Log, finals: Mapping[str, list[str]], task_of: Mapping[str, str]) -> list[str]:
    """Executions with two finals, and named steps that two executions finished."""
    found = [f"{task_of.get(execution, '?')} {states}" for execution, states in finals.items() if len(states) > 1]
    by_label: dict[str, set[str]] = defaultdict(set)
    for line in log.lines:
        if line.label != "-" and line.what == "end":
            by_label[line.label].add(line.task)
    return found + [f"step {label} as {sorted(tasks)}" for label, tasks in by_label.items() if len(tasks) > 1]


def _wrong(finals: Mapping[str, list[str]], task_of: Mapping[str, str], log: Log) -> list[str]:
    """Executions that ended otherwise than their task must, or that the records have otherwise than the stream."""
    names = {line.task: line.step.split("/", 1)[0] for line in log.lines}
    found = []
    for execution, states in finals.items():
        name = names.get(task_of.get(execution, ""), "?")
        if states[0] != log.expected.get(name, "success"):
            found.append(f"{task_of.get(execution, execution)} {name} ended {states[0]}")
        _, state = (log.recorded or {}).get(execution, ("", states[0]))
        if state in FINALS and state != states[0] and not log.lost:
            found.append(f"{task_of.get(execution, execution)} {name} ended {states[0]}, and is {state} on record")
    return found


def _overlaps(group: list[Attempt], log: Log) -> Iterable[tuple[float, str]]:
    """Attempts of one step that ran at the same moment; the time in which the harness held a process frozen is no running."""
    for number, later in enumerate(group):
        for earlier in group[:number]:
            until = min(earlier.end, later.end)
            shared = until - later.start - _frozen(earlier.pid, later.start, until, log)
            if shared > PRECISION:
                pids = f"pid {earlier.pid} and pid {later.pid}"
                yield shared, f"{later.task} {later.step}: {pids} for {shared:.3f} s from {later.start:.3f}"


def _frozen(pid: int, start: float, end: float, log: Log) -> float:
    return sum(max(0.0, min(end, to) - max(start, since)) for of, since, to in log.frozen if of == pid)


def _interrupted(run: Attempt, log: Log) -> bool:
    """Whether Windrow ended it: not the task, its limits, or the harness."""
    if run.step.split("/", 1)[0] in log.expected or run.how == "end":
        return False
    if _killed(run, log):
        return False
    return run.how != "stop" or run.extra in GIVEN_UP


def _killed(run: Attempt, log: Log) -> bool:
    return run.pid in log.kills and run.end >= log.kills[run.pid] - PRECISION


def _dues(runs: Iterable[Attempt]) -> tuple[list[str], float, float]:
    """Who started before its due time, how early the earliest, and how late the latest was."""
    early, soonest, late = [], 0.0, 0.0
    for run in runs:
        if run.due and run.due != "-":
            behind = run.start - float(run.due)
            late, soonest = max(late, behind), max(soonest, -behind)
            if behind < -0.001:
                early.append(f"{run.task} {-behind:.3f} s early")
    return early, soonest, late


def _recovery(groups: Iterable[list[Attempt]], log: Log) -> tuple[float, float]:
    """The longest times from a killed attempt's death until its message was back in the queue, and until its next start.

    The first counts an outage's end until the next start of anything as well; the second not what was set apart to run alone.
    """
    backs: dict[str, list[float]] = defaultdict(list)
    apart: dict[str, list[float]] = defaultdict(list)
    for told in log.told:
        if told.kind in ("back", "apart") and told.task is not None:
            backs[told.task].append(told.at)
            if told.kind == "apart":
                apart[told.task].append(told.at)
    recovered, started = 0.0, 0.0
    starts = []
    for group in groups:
        starts += [run.start for run in group]
        for run, following in itertools.pairwise(group):
            if run.how == "death" and _killed(run, log):
                back = min((at for at in backs[run.task] if at >= run.end - PRECISION), default=following.start)
                recovered = max(recovered, min(back, following.start) - run.end)
                if not any(run.end - PRECISION <= at <= following.start for at in apart[run.task]):
                    started = max(started, following.start - run.end)
    for outage in log.outages:
        after = [start for start in starts if start >= outage.end]
        if after:
            recovered = max(recovered, min(after) - outage.end)
    return recovered, started


def _in_lost_tail(at: float, log: Log) -> bool:
    return any(since <= at <= to for since, to in log.lost)
