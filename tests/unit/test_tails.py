"""The memory that keeps the end of an attempt's log: what one process writes, another reads, also of one that was killed."""

from __future__ import annotations

import os
import signal
from contextvars import copy_context

import pytest

from windrow.worker.board import Board
from windrow.worker.tails import SIZE, Tail, current_tail, keep_in, write_to

HEADER = {"tag": 7, "id": "0" * 8 + "-0000-7000-8000-" + "0" * 12, "attempt": "0" * 8 + "-0000-7000-8000-" + "1" * 12}


def test_what_was_written_is_read_in_its_order() -> None:
    tail = Tail()
    tail.begin(1)
    assert tail.is_empty
    assert tail.read(1) is None
    tail.write("one")
    tail.write("zwei ü")
    assert tail.read(1) == "one\nzwei ü\n"


def test_an_attempt_never_has_the_log_of_another() -> None:
    """The one before in the same place, or one that has said nothing."""
    tail = Tail()
    tail.begin(0)
    tail.write("of the first")
    tail.begin(1)
    assert tail.read(1) is None
    tail.write("of the second")
    assert tail.read(0) is None
    assert tail.read(1) == "of the second\n"


@pytest.mark.parametrize("line", ["x" * 99, "ü" * 1234, "\N{PILE OF POO}" * 5000])
def test_of_more_than_there_is_room_for_the_last_whole_lines_are_kept(line: str) -> None:
    """Whatever their length; a character is never cut in two."""
    tail = Tail()
    tail.begin(1)
    count = 3 * SIZE // len(line.encode())
    for number in range(count):
        tail.write(f"{number} {line}")
    text = tail.read(1)
    assert text is not None
    assert SIZE - len(line.encode()) - 20 < len(text.encode()) <= SIZE
    kept = text.splitlines()
    assert kept == [f"{number} {line}" for number in range(count - len(kept), count)]


def test_of_one_line_that_is_too_long_its_end_is_kept() -> None:
    tail = Tail()
    tail.begin(1)
    tail.write("before")
    tail.write("x" * 2 * SIZE + "the end")
    text = tail.read(1)
    assert text is not None
    assert len(text) == SIZE
    assert text.endswith("xthe end\n")


def test_what_a_killed_process_wrote_is_there() -> None:
    tail = Tail()
    pid = os.fork()
    if pid == 0:
        tail.begin(5)
        tail.write("last words")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert tail.read(5) == "last words\n"


def test_a_board_tells_the_guard_what_was_logged_by_what_ran() -> None:
    """By its tag, and no more once it has ended or the next process begins."""
    board = Board(2)
    place = board.begin(HEADER, 1.0, 10.0)
    assert place is not None
    tail = board.tail(place)
    tail.begin(7)
    assert board.running()[7].log is None
    tail.write("said")
    assert board.running()[7].log == "said\n"
    assert board.overdue(11.0)[0].log == "said\n"
    board.end(place)
    assert board.running() == {}
    again = board.begin(HEADER, 1.0, 10.0)
    assert again is not None
    board.tail(again).begin(7)
    board.tail(again).write("anew")
    board.clear()
    assert board.tail(again).read(7) is None


def test_places_that_are_not_used_take_no_memory() -> None:
    """64 KiB for each of 10,000 coroutines would be more than a worker has."""

    def shared() -> int:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssShmem"))

    before = shared()
    board = Board(10_000)
    board.clear()
    places = [board.begin(HEADER, 1.0, 10.0) for _ in range(500)]
    for place in places:
        assert place is not None
        board.tail(place).begin(7)
        for _ in range(100):
            board.tail(place).write("x" * 999)
    assert shared() - before > 20_000, "KiB: now they are used"
    for place in places:
        assert place is not None
        board.end(place)
    assert shared() - before < 4_096, "KiB"


def test_what_goes_on_after_its_attempt_is_nobodys() -> None:
    """A thread or a coroutine that a task left running does not write into the log of the next one in its place."""
    tail = Tail()
    tail.begin(1)
    context = copy_context()
    context.run(keep_in, tail)
    assert context.run(current_tail) is tail
    tail.begin(2)
    assert context.run(current_tail) is None
    assert current_tail() is None


def test_a_process_with_one_task_at_a_time_has_one_log() -> None:
    """Threads that a task starts by itself know no context."""
    tail = Tail()
    write_to(tail)
    try:
        assert current_tail() is tail
    finally:
        write_to(None)
