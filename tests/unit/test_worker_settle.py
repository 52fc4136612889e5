"""What becomes of the tasks of a worker's process that has ended; the board; the soft limits' bookkeeping."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from windrow.broker.events import new_id
from windrow.broker.keys import HANDED_ON
from windrow.worker import board as board_module
from windrow.worker.board import Board, Figures, Overdue
from windrow.worker.pools import inprocess
from windrow.worker.pools.deadlines import Deadlines
from windrow.worker.settle import Past, decide

MESSAGE = b'0work\n{"headers": {"task": "t"}}'


def note(execution: str, early: bool = False) -> dict[str, Any]:
    return {"id": execution, "attempt": f"attempt-{execution}", "queue": "work", "task": "t", "t": 90.0, "early": early}


def settled(
    held: dict[int, bytes], started: dict[int, Any], past: Past, overdue: dict[int, Overdue] | None = None
) -> list[Any]:
    return [
        (
            op[0],
            op[1],
            next((json.loads(str(part) + ("}" if op[0] == "K" else "")) for part in op[2:] if str(part)[:1] == "{"), None),
        )
        for op in decide(held, started, past, overdue or {}, 3, "work/host/1/abc", 100.0)
    ]


def test_what_had_not_started_goes_back_in_its_order_without_a_word() -> None:
    """Taken and not started: given back, the newest first, so that the oldest is next; no attempt is told."""
    assert settled({1: MESSAGE, 2: MESSAGE}, {}, Past.DIED) == [("G", 2, None), ("G", 1, None)]


def test_a_neighbour_of_an_overrun_repeats_uncounted() -> None:
    """The process was replaced for another task's sake: handed back, not counted as a recovery."""
    ((operation, _, event),) = settled({1: MESSAGE}, {1: note("a")}, Past.REPLACED)
    assert (operation, event["outcome"], event["state"], event["run"]) == ("G", "handed_back", "ready", 10.0)


def test_what_ran_when_its_process_died_is_counted() -> None:
    """A process that died by itself: each attempt in it may be the reason, so each is a recovery."""
    ((operation, _, event),) = settled({1: MESSAGE}, {1: note("a")}, Past.DIED)
    assert (operation, event["outcome"]) == ("K", "killed")


@pytest.mark.parametrize("past", list(Past))
def test_what_was_acknowledged_early_is_lost(past: Past) -> None:
    """acks_late=False: it must not run again, whatever became of its process."""
    ((operation, _, event),) = settled({1: MESSAGE}, {1: note("a", early=True)}, past)
    assert (operation, event["state"]) == ("F", "lost")


def test_a_retry_that_was_published_is_not_repeated() -> None:
    """Its message has gone on: only the attempt's end is told."""
    ((operation, _, event),) = settled({1: HANDED_ON}, {1: note("a")}, Past.DIED)
    assert (operation, event["outcome"], event["state"]) == ("F", "retried", None)


def test_what_is_overdue_stays_for_the_next_process() -> None:
    """It must be ended with Celery's own books (result, error callbacks), which need the app."""
    assert settled({1: MESSAGE}, {1: note("a")}, Past.REPLACED, {1: Overdue(1, 5.0)}) == []


def test_the_board_shows_another_process_what_runs() -> None:
    """What a child writes its parent reads: figures, attempts, deadlines; an ended task is gone."""
    board = Board(2)
    ids = {"id": "0199aaaa-0000-7000-8000-000000000001", "attempt": "0199aaaa-0000-7000-8000-000000000002"}
    child = os.fork()
    if child == 0:
        board.ready()
        board.say(Figures(1, 2, 3, 0.5))
        board.begin({**ids, "tag": 7, "early": True}, 5.0, time.monotonic() + 5.0)
        ended = board.begin({**ids, "tag": 8}, 5.0, time.monotonic() - 1.0)
        assert ended is not None
        board.end(ended)
        os._exit(0)
    os.waitpid(child, 0)
    assert board.is_ready
    assert board.figures() == Figures(1, 2, 3, 0.5)
    running = board.running()
    assert list(running) == [7]
    assert (running[7].execution, running[7].attempt, running[7].early) == (ids["id"], ids["attempt"], True)
    assert board.overdue(time.monotonic()) == []
    assert board.overdue(time.monotonic() + 6.0) == [Overdue(7, 5.0)]
    board.clear()
    assert not board.is_ready
    assert board.running() == {}


def test_a_full_board_refuses_no_task() -> None:
    """A task beyond the board's places runs without one."""
    board = Board(1)
    header = {"id": "0199aaaa-0000-7000-8000-000000000001", "attempt": "0199aaaa-0000-7000-8000-000000000002", "tag": 1}
    assert board.begin(header, 1.0, 1.0) == 0
    assert board.begin(header, 1.0, 1.0) is None


def test_only_running_jobs_have_deadlines() -> None:
    """A look is asked for only when it must come sooner; ended jobs leave nothing behind; each job is told once."""
    deadlines: Deadlines[str] = Deadlines()
    assert deadlines.add("a", 10.0)
    assert not deadlines.add("b", 20.0)
    assert deadlines.add("c", 5.0)
    deadlines.remove("c")
    assert deadlines.due(6.0) == []
    assert deadlines.next == 10.0
    assert deadlines.due(10.0) == ["a"]
    assert deadlines.next == 20.0
    deadlines.remove("b")
    assert deadlines.due(30.0) == []
    assert deadlines.next is None


def test_looks_at_deadlines_do_not_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a sooner deadline comes, one timer is waited for when the earlier ones have passed."""
    now, timers = 100.0, []
    monkeypatch.setattr(inprocess.time, "monotonic", lambda: now)

    class Hub:
        def call_later(self, delay: float, callback: Any) -> None:
            timers.append((now + delay, callback))

    class Pool(inprocess.InProcessPool):
        def start_job(self, job: Any) -> None: ...

    pool = Pool(limit=9)
    pool.attach(Hub())
    for limit in (50.0, 30.0, 10.0, 1000.0):
        args = ("task", "id", {}, None, None, None)
        pool.on_apply(None, args, timeout_callback=lambda soft, limit: None, soft_timeout=limit)
    while (due := min(timers))[0] < 200.0:
        timers.remove(due)
        now = due[0]
        due[1]()
    assert [at for at, _ in timers] == [1100.0]


def test_a_place_that_is_being_written_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard may look while a place is written: before its tag stands there and once it is gone, nothing is overdue."""
    board = Board(1)
    header = {"id": new_id(), "attempt": new_id(), "tag": 7}
    pack = board_module._TAG

    class Looking:
        """Writes the tag, and looks before and after as the guard would."""

        def pack_into(self, memory: object, at: int, tag: int) -> None:
            if tag:
                assert board.running() == {}
                assert board.overdue(1e9) == []
            pack.pack_into(memory, at, tag)
            assert board.overdue(50.0) == []

    monkeypatch.setattr(board_module, "_TAG", Looking())
    for _ in range(2):
        place = board.begin(header, 1.0, 100.0)
        assert place is not None
        assert board.overdue(101.0) == [Overdue(7, 1.0)]
        board.end(place)
        assert board.overdue(101.0) == []
