"""What attempts use of a process: its peak resident memory while each runs, and CPU time.

The kernel keeps a process's peak (the high-water mark of its resident memory) and forgets it when `5` is written to the
process's `clear_refs`. One write before an attempt and one `getrusage` after it make the peak the attempt's own; together they
take a microsecond, however large the process is. Where the kernel offers no `clear_refs`, a peak is known only when the mark
grew meanwhile.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from resource import RUSAGE_SELF, getrusage, struct_rusage
from time import monotonic, process_time
from typing import Final, NamedTuple

SHORT_SECONDS: Final = 0.01
"""An attempt that ran for less is short: it can't have taken more than some 20 MiB by itself."""
FIRST: Final = 100
EVERY: Final = 32
"""The short attempts of a process that are looked at: its first, then one of so many."""

_RESET: Final = b"5"
_MOST_STATUS: Final = 8192
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Used(NamedTuple):
    """What an attempt used: `peak` in bytes, `cpu` in seconds; None where it is not known."""

    peak: int | None = None
    cpu: float | None = None

    @property
    def told(self) -> dict[str, int | float]:
        """The fields of an event that say so; none for what is not known."""
        if self.peak is None and self.cpu is None:
            return {}
        return {name: value for name, value in zip(self._fields, self, strict=True) if value is not None}


class Mark:
    """This process's high-water mark. Make it in the process itself, after a fork."""

    def __init__(self) -> None:
        try:
            self._reset: int | None = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
            os.write(self._reset, _RESET)
        except OSError:
            self._reset = None

    @property
    def resets(self) -> bool:
        """Whether it can be set back."""
        return self._reset is not None

    def reset(self) -> None:
        """Forget what was."""
        if self._reset is not None:
            os.write(self._reset, _RESET)

    def close(self) -> None:
        """Close its file."""
        if self._reset is not None:
            os.close(self._reset)
            self._reset = None


def _resets() -> bool:
    mark = Mark()
    try:
        return mark.resets
    finally:
        mark.close()


RESETS: Final = _resets()
"""Whether this kernel lets processes set their marks back."""


class Single:
    """Measures attempts that run one after the other in this process.

    Reading what was used and telling it takes some three microseconds, here and in the parent. So of short attempts only the
    first and one in some is read, and the others cost one.
    """

    def __init__(self) -> None:
        self._mark = Mark()
        self._before = getrusage(RUSAGE_SELF).ru_maxrss
        self._number = 0
        self._began = self._cpu = 0.0

    def begin(self) -> None:
        """An attempt starts."""
        self._mark.reset()
        self._began = monotonic()
        self._cpu = process_time()

    def end(self) -> tuple[int | None, float] | None:
        """It has ended: what it used, as `Used` has it; None for a short one that is not looked at."""
        number = self._number = self._number + 1
        if number > FIRST and number % EVERY and monotonic() - self._began < SHORT_SECONDS:
            return None
        cpu = process_time() - self._cpu
        peak = getrusage(RUSAGE_SELF).ru_maxrss
        if not self._mark.resets:
            grown, self._before = peak > self._before, peak
            return (peak * 1024 if grown else None, cpu)
        return peak * 1024, cpu


class Overlapping:
    """Measures the peaks of attempts that overlap in this process, each from its start to its end.

    Each start ends a span of time with a peak of its own. An attempt's peak is the highest of the spans since its start; only
    those are kept that no later one exceeds.
    """

    def __init__(self, mark: Mark | None = None) -> None:
        self._mark = mark or Mark()
        self._span = 0
        self._running = 0
        self._first: list[int] = []
        self._peaks: list[int] = []

    def begin(self) -> int:
        """An attempt starts: what `until_now` wants back."""
        self._running += 1
        if not self._mark.resets:
            return _peak()
        if self._running > 1:
            self._close(_peak())
        else:
            self._first, self._peaks = [], []
        self._mark.reset()
        self._span += 1
        return self._span

    def end(self) -> None:
        """An attempt has ended."""
        self._running -= 1

    def until_now(self, begun: int) -> int | None:
        """The peak since an attempt's start, in bytes."""
        now = _peak()
        if not self._mark.resets:
            return now if now > begun else None
        if begun == self._span:
            return now  # no other has started since
        # The entry that holds its first span; those behind it are lower.
        return max(now, self._peaks[bisect_right(self._first, begun) - 1])

    def _close(self, peak: int) -> None:
        first = self._span
        while self._peaks and self._peaks[-1] <= peak:
            self._peaks.pop()
            first = self._first.pop()
        self._first.append(first)
        self._peaks.append(peak)


def _peak() -> int:
    return getrusage(RUSAGE_SELF).ru_maxrss * 1024


def peak_of(pid: int) -> int | None:
    """Another process's high-water mark in bytes; None when it has ended, or its mark may be that of earlier attempts."""
    if not RESETS:
        return None
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            status = file.read(_MOST_STATUS)
    except OSError:
        return None
    found = status.partition(b"\nVmHWM:")[2].split(maxsplit=1)
    return int(found[0]) * 1024 if found else None


def ended_peak(usage: struct_rusage) -> int | None:
    """The peak in bytes of a process that has ended (`os.wait4`), or of the largest of its own ended children."""
    return usage.ru_maxrss * 1024 if RESETS else None


def resident_bytes() -> int:
    """How much memory this process holds now."""
    with open("/proc/self/statm", encoding="ascii") as pages:
        return int(pages.read().split()[1]) * _PAGE
