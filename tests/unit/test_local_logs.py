"""Logs are kept small without the writers' help, and read back."""

from __future__ import annotations

from pathlib import Path

from windrow.local.logs import Follower, rotate, tail
from windrow.local.processes import open_log


def write(path: Path, text: str) -> None:
    with open_log(path) as descriptor, open(descriptor, "w", closefd=False) as file:
        file.write(text)


def test_a_log_over_its_size_is_rotated_and_the_oldest_goes(tmp_path: Path) -> None:
    """Each log has at most its size and three older parts; one within its size is left alone."""
    log, small = tmp_path / "worker.log", tmp_path / "small.log"
    small.write_text("kept\n")
    for number in range(6):
        write(log, f"{number}" * 100)
        rotate(tmp_path, most_bytes=50, kept=3)
    assert log.stat().st_size == 0
    assert [(tmp_path / f"worker.log.{number}").read_text()[0] for number in (1, 2, 3)] == ["5", "4", "3"]
    assert not (tmp_path / "worker.log.4").exists()
    assert small.read_text() == "kept\n"
    assert (tmp_path / "worker.log.1").stat().st_mode & 0o777 == 0o600


def test_a_process_goes_on_writing_after_its_log_was_rotated(tmp_path: Path) -> None:
    """The file that a process holds open is the one that is read afterwards, from its beginning, without a hole."""
    log = tmp_path / "worker.log"
    with open_log(log) as descriptor, open(descriptor, "w", closefd=False) as file:
        file.write("before\n")
        file.flush()
        rotate(tmp_path, most_bytes=3)
        file.write("after\n")
        file.flush()
        assert log.read_text() == "after\n"


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    """Long logs are read from their end, short ones and missing ones whole."""
    log = tmp_path / "worker.log"
    log.write_text("".join(f"line {number} {'x' * 500}\n" for number in range(1000)))
    assert [line.split()[1] for line in tail(log, 3)] == ["997", "998", "999"]
    log.write_text("one\ntwo")
    assert tail(log, 5) == ["one", "two"]
    assert tail(tmp_path / "none.log", 5) == []


def test_following_sees_new_lines_new_files_and_rotated_ones(tmp_path: Path) -> None:
    """A follower tells whole lines once, of files that appear later too, and reads a truncated file anew."""
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    write(first, "old\n")
    follower = Follower(lambda: sorted(tmp_path.glob("*.log")))
    write(first, "new\nhalf")
    write(second, "other\n")
    assert follower.read() == [(first, "new"), (second, "other")]
    write(first, " line\n")
    assert follower.read() == [(first, "half line")]
    first.write_text("fresh\n")
    assert follower.read() == [(first, "fresh")]
