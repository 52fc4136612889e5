"""Peaks of attempts that overlap in one process, on this process's own memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from tests.apps.memory import MIB, take
from windrow.worker.usage import EVERY, FIRST, SHORT_SECONDS, Mark, Overlapping, Single, peak_of, resident_bytes

SMALL, LARGE = 60, 120
"""MiB; what else this process takes meanwhile is far less."""


def once(mib: int) -> None:
    take(mib).close()


class Crowd:
    """Attempts by letter; what has ended says what it held above what the process held when it began."""

    def __init__(self) -> None:
        self.peaks = Overlapping()
        self.base = resident_bytes()
        self.begun: dict[str, int] = {}
        self.told: dict[str, str] = {}

    def play(self, script: str) -> dict[str, str]:
        """`a+` begins, `a-` ends, `s` and `l` are a small and a large amount, taken and given back."""
        size: dict[str, Callable[[], None]] = {"s": lambda: once(SMALL), "l": lambda: once(LARGE)}
        for step in script.split():
            if step in size:
                size[step]()
            elif step.endswith("+"):
                self.begun[step[0]] = self.peaks.begin()
            else:
                peak = self.peaks.until_now(self.begun[step[0]])
                self.peaks.end()
                assert peak is not None
                held = (peak - self.base) / MIB
                self.told[step[0]] = "l" if held > LARGE * 0.9 else "s" if held > SMALL * 0.9 else ""
        return self.told


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("a+ l a-", {"a": "l"}),
        ("l a+ a-", {"a": ""}),
        ("a+ l a- b+ b-", {"a": "l", "b": ""}),
        ("a+ l b+ b- a-", {"a": "l", "b": ""}),
        ("a+ l b+ s c+ c- b- a-", {"a": "l", "b": "s", "c": ""}),
        ("a+ s b+ l c+ a- b- c-", {"a": "l", "b": "l", "c": ""}),
        ("a+ s b+ l c+ s d+ a- b- c- d-", {"a": "l", "b": "l", "c": "s", "d": ""}),
        ("a+ b+ s b- a- c+ c-", {"a": "s", "b": "s", "c": ""}),
        ("a+ s b+ a- l b-", {"a": "s", "b": "l"}),
    ],
)
def test_an_attempts_peak_is_the_highest_between_its_start_and_its_end(script: str, told: dict[str, str]) -> None:
    """Whatever overlaps it, and whatever came before it."""
    assert Crowd().play(script) == told


def test_another_process_is_read_from_outside() -> None:
    """A running process's mark can be read by its parent; of one that has ended nothing is known."""
    mark = Mark()
    mark.reset()
    once(SMALL)
    seen = peak_of(os.getpid())
    mark.close()
    assert seen is not None
    assert seen > resident_bytes() + SMALL * MIB * 0.9
    assert peak_of(2**22 + 1) is None


def test_without_a_way_to_reset_only_a_grown_mark_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without `clear_refs`: the peak is the attempt's own only when the process's mark has grown meanwhile."""
    mark = Mark()
    mark.reset()  # else an earlier test's mark stands
    mark.close()
    open_file = os.open
    refused = "/proc/self/clear_refs"

    def refuse(path: str, *args: int) -> int:
        if path == refused:
            raise PermissionError
        return open_file(path, *args)

    monkeypatch.setattr(os, "open", refuse)
    single, overlapping = Single(), Overlapping()
    single.begin()
    begun = overlapping.begin()
    once(LARGE)
    first, both = single.end(), overlapping.until_now(begun)
    assert first is not None
    assert first[0] is not None
    assert both is not None
    assert first[0] > LARGE * MIB < both
    single.begin()
    begun = overlapping.begin()
    once(SMALL)
    second = single.end()
    assert second is not None
    assert second[0] is None
    assert overlapping.until_now(begun) is None


def test_of_short_attempts_the_first_and_one_in_some_is_read() -> None:
    """What costs a task that does nothing as much as the task itself is left away; a longer one is always read."""
    single = Single()

    def measured(seconds: float = 0.0) -> bool:
        single.begin()
        time.sleep(seconds)
        return single.end() is not None

    assert all(measured() for _ in range(FIRST))
    assert sum(measured() for _ in range(10 * EVERY)) <= 10 + 5  # one of them may have been kept from running for a while
    assert all(measured(SHORT_SECONDS) for _ in range(EVERY))
