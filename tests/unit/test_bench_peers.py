"""What the rounds with kill -9 count, from the lines that tasks write: pure."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.kill import TASKS, as_json, count


def lines(path: Path, *, began: dict[int, int], ended: set[int]) -> None:
    """Each task's beginnings, and its end."""
    text = [f"s {task}\n" * times for task, times in began.items()]
    path.write_text("".join([*text, *(f"e {task}\n" for task in ended)]))


def test_lost_is_what_never_ended_and_twice_what_began_again(tmp_path: Path) -> None:
    """A task that was killed and came back ran twice and is not lost; one that began and never ended is lost, and ran once."""
    began = dict.fromkeys(range(TASKS), 1) | {5: 2}
    lines(tmp_path / "marks", began=began, ended=set(range(TASKS)) - {7, 8})
    found = count(tmp_path / "marks", 0, 3.0)
    assert (found.lost, found.twice, found.seconds) == (2, 1, 3.0)


def test_a_round_is_not_mixed_with_the_next(tmp_path: Path) -> None:
    """What only ends while a later round runs has come back; what a later round lost is not the first one's."""
    began = dict.fromkeys(range(2 * TASKS), 1)
    lines(tmp_path / "marks", began=began, ended=set(range(2 * TASKS)) - {TASKS + 1})
    first, second = (count(tmp_path / "marks", number, 1.0 + number) for number in (0, 1))
    assert (first.lost, second.lost) == (0, 1)
    assert as_json([first, second]) == {"rounds": 2, "tasks": 2 * TASKS, "lost": 1, "twice": 0, "seconds": 2.0}
