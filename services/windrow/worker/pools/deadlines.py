"""When the running jobs of a pool reach their soft limits: bookkeeping without a clock."""

from __future__ import annotations

from typing import Generic, TypeVar

J = TypeVar("J")


class Deadlines(Generic[J]):
    """Deadlines of what runs now, and nothing of what has ended: a timer for each job would stay until the limit's hour."""

    def __init__(self) -> None:
        self._at: dict[J, float] = {}
        self.next: float | None = None
        """When to look again; None when no look is needed. Not before the earliest deadline's turn."""

    def add(self, job: J, at: float) -> bool:
        """Note a job's deadline; True when the next look must come sooner than was said before."""
        self._at[job] = at
        if self.next is None or at < self.next:
            self.next = at
            return True
        return False

    def remove(self, job: J) -> None:
        """The job has ended."""
        self._at.pop(job, None)

    def due(self, now: float) -> list[J]:
        """The jobs whose deadline has come, each told once; `next` says when to look again."""
        reached = [job for job, at in self._at.items() if at <= now]
        for job in reached:
            del self._at[job]
        self.next = min(self._at.values(), default=None)
        return reached
