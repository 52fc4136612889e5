"""The supervisor's plan: up at once, down only through workers that said they drained."""

from __future__ import annotations

import pytest

from windrow.broker.observe import QueueReading, WorkerInfo
from windrow.local.plan import (
    LONGEST_BACKOFF,
    START_SECONDS,
    Child,
    Crashes,
    Plan,
    plan,
    registered,
    share_starts,
    worker_states,
)
from windrow.scaling import Observation

HOST = "here"
NOW = 1000.0


def child(pid: int, worker: str | None = None, *, stopping: bool = False, started: float = NOW - 10) -> Child:
    return Child(pid, number=pid, started=started, made=started, worker=worker, stopping=stopping)


def info(
    pid: int, worker: str, *, busy: int = 0, drain: str | None = None, started: float = NOW, host: str = HOST
) -> WorkerInfo:
    return WorkerInfo(worker, "q", "q", host, pid, 2, None, started, busy, busy, 0, None, drain)


def reading(*infos: WorkerInfo) -> QueueReading:
    return QueueReading("q", NOW, 0, 0, 0, 0, None, False, False, None, infos, None, 0)


def planned(children: list[Child], infos: list[WorkerInfo], replicas: int, *, readable: bool = True) -> Plan:
    seen = Observation(at=NOW, readable=readable, workers=worker_states("q", children, reading(*infos) if readable else None))
    return plan(seen, replicas, children, NOW)


ROUNDS = {
    "nothing there, three wanted: three start in one step": ([], [], 3, Plan(start=3)),
    "what starts counts: no more are started for the same need": ([child(1), child(2)], [], 3, Plan(start=1)),
    "enough: nothing to do": ([child(1, "a")], [info(1, "a")], 1, Plan()),
    "too many: the idle one is asked, none is ended": (
        [child(1, "a"), child(2, "b")], [info(1, "a", busy=1), info(2, "b")], 1, Plan(ask=("b",)),
    ),
    "asked and not drained yet: it is waited for": (
        [child(1, "a"), child(2, "b")], [info(1, "a"), info(2, "b", drain="asked")], 1, Plan(),
    ),
    "drained: only now it is ended": (
        [child(1, "a"), child(2, "b")], [info(1, "a"), info(2, "b", drain="drained")], 1, Plan(end=(2,)),
    ),
    "told to end: not told twice, which would stop it at once": (
        [child(1, "a"), child(2, "b", stopping=True)], [info(1, "a"), info(2, "b", drain="drained")], 1, Plan(),
    ),
    "need rises: one that was asked is called back before any is started": (
        [child(1, "a"), child(2, "b")], [info(1, "a"), info(2, "b", drain="asked")], 3, Plan(start=1, withdraw=("b",)),
    ),
    "need rises: one that drained is on its way out, another starts": (
        [child(1, "a"), child(2, "b")], [info(1, "a"), info(2, "b", drain="drained")], 2, Plan(start=1, end=(2,)),
    ),
    "a starting worker is no victim": ([child(1), child(2)], [], 0, Plan()),
    "a stranger's drained worker is not ours to end": ([], [info(9, "z", drain="drained")], 0, Plan()),
    "one that never registers is killed": ([child(1, started=NOW - START_SECONDS - 1)], [], 1, Plan(kill=(1,))),
}  # fmt: skip


@pytest.mark.parametrize("rule", ROUNDS)
def test_one_round(rule: str) -> None:
    """Each line of the table is a rule of the supervisor."""
    children, infos, replicas, expected = ROUNDS[rule]
    assert planned(children, infos, replicas) == expected


def test_an_unreadable_broker_ends_nothing_and_still_starts() -> None:
    """While Redis is away nobody is asked, called back, ended or killed; what the policy wants more is started."""
    children = [child(1, "a"), child(2, started=NOW - START_SECONDS - 1)]
    assert planned(children, [], 0, readable=False) == Plan()
    assert planned(children, [], 4, readable=False) == Plan(start=2)


def test_a_worker_is_recognised_by_host_pid_and_beginning() -> None:
    """An entry of a dead worker with the same pid, or of another machine's, is not taken for ours."""
    young = child(1, started=NOW)
    assert registered([young], reading(info(1, "old", started=NOW - 100)), HOST) == {}
    assert registered([young], reading(info(1, "far", host="there")), HOST) == {}
    assert registered([young], reading(info(1, "old", started=NOW - 100), info(1, "new", started=NOW + 1)), HOST) == {1: "new"}


def test_crashes_in_a_row_wait_longer_each_up_to_half_a_minute() -> None:
    """The pause doubles from 1 s to 30 s; a process that lived a while begins a new row."""
    crashes, pauses = Crashes(), []
    for number in range(8):
        crashes = crashes.one_more(NOW + number, lived=0.5)
        pauses.append(crashes.pause)
    assert pauses == [1, 2, 4, 8, 16, LONGEST_BACKOFF, LONGEST_BACKOFF, LONGEST_BACKOFF]
    assert crashes.wait(crashes.at + 29) == pytest.approx(1)
    assert crashes.wait(crashes.at + 31) == 0
    assert crashes.one_more(NOW, lived=3600).pause == 1


def test_queues_take_turns_in_starting() -> None:
    """The machine starts so many processes at a time, and no queue waits for another's fiftieth worker."""
    assert share_starts({"a": 50, "b": 1, "c": 2}, starting=0, most=4) == {"a": 2, "b": 1, "c": 1}
    assert share_starts({"a": 50}, starting=4, most=4) == {"a": 0}
    assert share_starts({"a": 1, "b": 0}, starting=0, most=4) == {"a": 1, "b": 0}
