"""Statuses are written here: only what changed, what matters first, and never more than the API server should bear."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from windrow_operator.cluster import Cluster, LeaseLost
from windrow_operator.state import Figures, Key
from windrow_operator.status import due, previous, status_of
from windrow_operator.watched import Entry, Watched

MOST_A_SECOND = 20
"""Statuses written in a second, of all QueueWorkers together; those that wait longest go first."""
AGAIN_SECONDS = 5.0
"""The pause after a write that was refused."""

_log = structlog.get_logger(__name__)


@dataclass
class _Told:
    """What is known of one status."""

    seen: tuple[Any, ...] = ()
    """What the last status was made of: while it is the same, none is made."""
    waits: bool = False
    """Whether one was made that was not due yet."""
    written: float = -1000.0
    """When the last one was written, on the monotonic clock."""
    writing: bool = False


class Teller:
    """Writes the statuses of all QueueWorkers."""

    def __init__(self, watched: Watched, cluster: Cluster, figures: Callable[[Key], Figures | None]) -> None:
        """`figures` gives what the scaler last saw of a QueueWorker; an object that stays the same when nothing changed."""
        self._watched, self._cluster, self._figures = watched, cluster, figures
        self._told: dict[Key, _Told] = {}
        self._writes: set[asyncio.Task[None]] = set()

    def look(self) -> None:
        """Start the writes that are due; called once a second."""
        now, wall = time.monotonic(), time.time()
        for key in self._told.keys() - self._watched.entries.keys():
            del self._told[key]
        ready: list[tuple[float, _Told, Entry, dict[str, Any]]] = []
        for entry in self._watched:
            told = self._told.setdefault(entry.key, _Told())
            figures = self._figures(entry.key)
            seen = _made_of(entry, figures)
            if told.writing or (told.seen == seen and not told.waits):
                continue
            if figures is None and entry.spec is not None and entry.fault is None and previous(entry):
                continue  # begun anew: what an operator before this one said holds until the queue was read
            new, old = status_of(entry, figures, wall), previous(entry)
            told.seen, told.waits = seen, new != old
            if told.waits and due(old, new, now - told.written):
                ready.append((told.written, told, entry, new))
        ready.sort(key=lambda one: one[0])
        for _, told, entry, new in ready[:MOST_A_SECOND]:
            told.writing = True
            write = asyncio.create_task(self._write(told, entry, new))
            self._writes.add(write)
            write.add_done_callback(self._writes.discard)

    async def _write(self, told: _Told, entry: Entry, status: dict[str, Any]) -> None:
        try:
            await self._cluster.apply_status(entry.key, status)
        except LeaseLost:
            return  # the process is about to end
        except Exception as error:  # the next look tries again  # noqa: BLE001
            told.written = time.monotonic() + AGAIN_SECONDS
            _log.warning("status could not be written", queueworker="/".join(entry.key), error=str(error))
        else:
            entry.status, told.written, told.waits = status, time.monotonic(), False
        finally:
            told.writing = False


def _made_of(entry: Entry, figures: Figures | None) -> tuple[Any, ...]:
    """What a status depends on, cheap to compare: states are frozen and replaced, never changed."""
    generation = entry.raw["metadata"].get("generation")
    return (generation, entry.spec, entry.fault, entry.apply_fault, entry.deployment, figures, *entry.pods.values())
