"""What a worker process and its guard both see: memory they share, written by the one and read by the other.

The guard must know when a task overruns its hard limit even if the worker's process answers nothing any more; memory needs
no answer. Each running task has a place with its tag and its deadline.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from windrow.worker.tails import HEAD, SIZE, Tail

_HEADER: Final = struct.Struct("=qqqqd")
_PLACE: Final = struct.Struct("=qddd?16s16s")
_TAG: Final = struct.Struct("=q")
_NO_RUN: Final = -1.0


@dataclass(frozen=True)
class Figures:
    """What a worker says of itself in each beat; `run` is the mean run time of its attempts in seconds."""

    busy: int = 0
    taken: int = 0
    done: int = 0
    run: float | None = None


@dataclass(frozen=True)
class Overdue:
    """A task past its hard limit: its tag in the in-flight set, the limit in seconds, its process's peak memory in bytes."""

    tag: int
    limit: float
    log: str | None = None
    """The end of what it logged."""
    peak: int | None = None
    """The peak of its process's memory, in bytes."""


@dataclass(frozen=True)
class Running:
    """An attempt that had started: ids, when (seconds since 1970), and whether it was acknowledged early."""

    execution: str
    attempt: str
    started: float
    early: bool
    log: str | None = None
    """The end of what it logged."""


class Board:
    """Anonymous memory shared across fork: make it before."""

    def __init__(self, places: int) -> None:
        """`places` is how many tasks may run at a time."""
        self._places = places
        heads = _HEADER.size + places * _PLACE.size
        size = heads + places * HEAD.size
        self._begin = size + -size % mmap.PAGESIZE
        self._memory = mmap.mmap(-1, self._begin + places * SIZE)
        self._tails = [Tail(self._memory, heads + i * HEAD.size, self._begin + i * SIZE) for i in range(places)]
        self._free = list(range(places))

    def clear(self) -> None:
        """Forget everything: a new process begins."""
        self._memory[: self._begin] = bytes(self._begin)
        self._memory.madvise(mmap.MADV_REMOVE, self._begin)  # what was logged; a place that is not used takes no memory
        self._free = list(range(self._places))

    # --- the worker's side -----------------------------------------------------------------------------------------------

    def ready(self) -> None:
        """The worker takes tasks."""
        self._memory[:8] = (1).to_bytes(8, "little")

    def say(self, figures: Figures) -> None:
        """Leave what the next beat says."""
        ready = int(self.is_ready)
        run = _NO_RUN if figures.run is None else figures.run
        _HEADER.pack_into(self._memory, 0, ready, figures.busy, figures.taken, figures.done, run)

    def begin(self, header: Mapping[str, Any], limit: float, deadline: float) -> int | None:
        """A task starts, with `limit` seconds until `deadline` (monotonic): its place, None when all are taken.

        `header` is the message's own (`windrow`) as the worker's request has made it.
        """
        if not self._free:
            return None
        place = self._free.pop()
        ids = (UUID(header["id"]).bytes, UUID(header["attempt"]).bytes)
        at = self._offset(place)
        # The tag last: the guard may look in between.
        _PLACE.pack_into(self._memory, at, 0, limit, deadline, time.time(), header.get("early", False), *ids)
        _TAG.pack_into(self._memory, at, header["tag"])
        return place

    def tail(self, place: int) -> Tail:
        """Where the log of the task at this place is kept, under its tag."""
        return self._tails[place]

    def end(self, place: int) -> None:
        """The task at this place has ended."""
        self._tails[place].end()
        _TAG.pack_into(self._memory, self._offset(place), 0)
        self._free.append(place)

    # --- the guard's side ------------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the worker takes tasks."""
        return self._memory[0] == 1

    def figures(self) -> Figures:
        """What the worker last said."""
        _, busy, taken, done, run = _HEADER.unpack_from(self._memory, 0)
        return Figures(busy, taken, done, None if run == _NO_RUN or not done else run)

    def running(self) -> dict[int, Running]:
        """What had started and not ended, by tag."""
        found = {}
        for place in range(self._places):
            tag, _, _, started, early, execution, attempt = _PLACE.unpack_from(self._memory, self._offset(place))
            if tag:
                log = self._tails[place].read(tag)
                found[tag] = Running(str(UUID(bytes=execution)), str(UUID(bytes=attempt)), started, early, log)
        return found

    def overdue(self, now: float) -> list[Overdue]:
        """The tasks whose deadline has passed at `now` (monotonic seconds)."""
        found = []
        for place in range(self._places):
            tag, limit, deadline, *_ = _PLACE.unpack_from(self._memory, self._offset(place))
            if tag and deadline < now:
                found.append(Overdue(tag, limit, self._tails[place].read(tag)))
        return found

    def _offset(self, place: int) -> int:
        return _HEADER.size + place * _PLACE.size
