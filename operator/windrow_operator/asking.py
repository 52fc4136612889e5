"""What one tick has to say to one Redis: whom to ask to drain, what is paused, what was decided. One or two round trips."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from windrow.broker import admin
from windrow.broker.client import Client
from windrow.broker.observe import QueueReading
from windrow.broker.standing import Board, Standing
from windrow.queues import QueueWorker, derive
from windrow_operator.state import Key


class Asked(NamedTuple):
    """Ids of workers to ask to drain, and of those whose request is taken back."""

    drain: tuple[str, ...] = ()
    withdraw: tuple[str, ...] = ()


@dataclass
class Asks:
    """Collected over one tick's queues."""

    drain: list[str] = field(default_factory=list)
    withdraw: list[str] = field(default_factory=list)
    decisions: list[tuple[str, str]] = field(default_factory=list)
    pause: list[tuple[str, str]] = field(default_factory=list)
    """Queues to pause, and who it is that does."""
    resume: list[str] = field(default_factory=list)
    rates: list[tuple[str, float | None, int]] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)
    """What is wanted and promised, of every queue; said only where it is due."""

    def __bool__(self) -> bool:
        return any((self.drain, self.withdraw, self.decisions, self.pause, self.resume, self.rates))

    def due(self, board: Board, now: float) -> bool:
        """Whether anything is to be said at `now` (monotonic seconds)."""
        return bool(self) or bool(board.due(self.standings, now))

    def count(self, queue: str, reason: str) -> None:
        """Count a decision that changed a number of workers."""
        self.decisions.append((queue, reason))

    def of(self, key: Key, spec: QueueWorker, reading: QueueReading, asked: Asked) -> None:
        """What is asked of one queue's workers, and what differs between its spec and its settings in Redis.

        What a spec paused is resumed when it no longer says so; what a person paused stays.
        """
        self.drain += asked.drain
        self.withdraw += asked.withdraw
        by = f"spec {key.namespace}/{key.name}"
        if spec.spec.paused and not reading.paused:
            self.pause.append((reading.queue, by))
        elif not spec.spec.paused and reading.paused and reading.paused_by == by:
            self.resume.append(reading.queue)
        derived = derive(spec)
        wanted = None if derived.rate_per_s is None else (derived.rate_per_s, derived.rate_burst)
        if wanted != reading.rate:
            self.rates.append((reading.queue, derived.rate_per_s, derived.rate_burst))

    def tell(self, client: Client, board: Board, now: float) -> None:
        """Say it all. Raises redis.RedisError."""
        admin.withdraw_drain(client, self.withdraw)
        admin.ask_drain(client, self.drain)
        for queue, by in self.pause:
            admin.pause(client, queue, by)
        for queue in self.resume:
            admin.resume(client, queue)
        for queue, rate, burst in self.rates:
            admin.set_rate(client, queue, rate, burst)
        admin.count_decisions(client, self.decisions)
        board.tell(client, self.standings, now)
