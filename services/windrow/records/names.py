"""A bound on the names that exact totals are kept under: past it, what is new is counted as `other`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from windrow.metrics.catalogue import OTHER, SERVER_ERRORS, SERVER_TASKS
from windrow.records.fold import FAILURES
from windrow.records.rows import TotalKey


class Names:
    """Which names have totals of their own; it only grows, with what is in the database as its start."""

    def __init__(self, keys: Iterable[TotalKey] = (), *, tasks: int = SERVER_TASKS, errors: int = SERVER_ERRORS) -> None:
        self._tasks: set[tuple[str, str]] = set()
        self._errors: set[tuple[str, str, str]] = set()
        self._task_limit = tasks
        self._error_limit = errors
        for key in keys:
            self._note(key)

    def bound(self, totals: Mapping[TotalKey, int]) -> Counter[TotalKey]:
        """`totals` with names past the limits replaced; their sum stays the same."""
        made: Counter[TotalKey] = Counter()
        for key, value in totals.items():
            made[self._bound(key)] += value
        return made

    def _note(self, key: TotalKey) -> None:
        kind, queue, task, label = key
        self._tasks.add((queue, task))
        if kind == FAILURES:
            self._errors.add((queue, task, label))

    def _bound(self, key: TotalKey) -> TotalKey:
        kind, queue, task, label = key
        if (queue, task) not in self._tasks and len(self._tasks) >= self._task_limit:
            # The queue may itself be one of too many names.
            queue, task = (queue, OTHER) if (queue, OTHER) in self._tasks else (OTHER, OTHER)
        if kind == FAILURES and (queue, task, label) not in self._errors and len(self._errors) >= self._error_limit:
            label = OTHER
        bounded = (kind, queue, task, label)
        self._note(bounded)
        return bounded
