"""The end of what each attempt logs, in memory shared with the process that watches it.

What a task logs is written where it runs; memory needs no answer, so the last lines of a process that was killed are still
there. An attempt that logs nothing writes nothing.
"""

from __future__ import annotations

import mmap
import struct
from contextvars import ContextVar

SIZE = 64 * 1024
"""Bytes kept of an attempt's log: its end."""
HEAD = struct.Struct("=qq")
"""In front of each place: whose log it is, and how many bytes it has had."""
_FEW = 4 * mmap.PAGESIZE
"""What a short log may keep of the machine's memory until the next one takes its place."""


class Tail:
    """A place for one attempt's log at a time, written by one process (one thread at a time) and read by any."""

    def __init__(self, memory: mmap.mmap | None = None, at: int = 0, data: int = mmap.PAGESIZE) -> None:
        """In `memory`, which must be shared across fork: `HEAD.size` bytes at `at`, `SIZE` at `data`, the beginning of a page.

        Without it the place has its own.
        """
        self._memory = mmap.mmap(-1, mmap.PAGESIZE + SIZE) if memory is None else memory
        self._at, self._data = at, data
        self.number = 0
        """Whose log it is now, as its one writer knows."""
        self._written = 0

    # --- where the task runs ---------------------------------------------------------------------------------------------

    def begin(self, number: int) -> None:
        """The attempt with this number runs from now on; costs nothing until it logs."""
        self.number, self._written = number, 0

    @property
    def is_empty(self) -> bool:
        """Whether the attempt has logged nothing."""
        return not self._written

    def write(self, line: str) -> None:
        """Keep a line."""
        text = line.encode("utf-8", "replace") + b"\n"
        before = self._written
        written = before + len(text)
        if len(text) > SIZE:
            text = text[-SIZE:]
        at = (written - len(text)) % SIZE
        first = min(len(text), SIZE - at)
        memory, data = self._memory, self._data
        if not before:
            HEAD.pack_into(memory, self._at, self.number, 0)
        memory[data + at : data + at + first] = text[:first]
        memory[data : data + len(text) - first] = text[first:]
        # Last: a process that is killed in between has not said so much.
        HEAD.pack_into(memory, self._at, self.number, written)
        self._written = written

    def end(self) -> None:
        """The attempt has ended; what a long log holds of the machine's memory is given back."""
        if self._written > _FEW:
            HEAD.pack_into(self._memory, self._at, 0, 0)
            self._memory.madvise(mmap.MADV_REMOVE, self._data, SIZE)
        self.number, self._written = 0, 0

    # --- whoever watches -------------------------------------------------------------------------------------------------

    def read(self, number: int) -> str | None:
        """What the attempt with this number logged; None when that is nothing, or no longer here."""
        whose, written = HEAD.unpack_from(self._memory, self._at)
        if whose != number or not written:
            return None
        data = self._memory[self._data : self._data + SIZE]
        if written <= SIZE:
            return data[:written].decode("utf-8", "replace")
        at = written % SIZE
        return _whole_lines(data[at:] + data[:at]).decode("utf-8", "replace")


def _whole_lines(data: bytes) -> bytes:
    """Without the rest of a line at the beginning, unless there is nothing else."""
    return data[data.find(b"\n") + 1 :] or data


_own: Tail | None = None
_current: ContextVar[tuple[Tail, int] | None] = ContextVar("windrow_tail", default=None)


def write_to(tail: Tail | None) -> None:
    """All that is logged in this process is `tail`'s: it runs one task at a time."""
    global _own
    _own = tail


def keep_in(tail: Tail | None) -> None:
    """What is logged in this thread, or in this coroutine's context, is of the attempt that `tail` is now for."""
    _current.set(None if tail is None else (tail, tail.number))


def current_tail() -> Tail | None:
    """Where what is logged here is kept; None outside a task, and for what goes on after its attempt has ended."""
    found = _current.get()
    if found is None:
        return _own
    tail, number = found
    return tail if tail.number == number else None
