"""A replay's outcome: one JSON object for programs, a few lines for people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windrow.local.demo.arrivals import SERIES
from windrow.local.demo.evidence import Records


@dataclass(frozen=True)
class Outcome:
    """What the producer, the records and the metrics say, and how the queues did; `sentences` are what is wrong."""

    accepted: Mapping[str, int]
    records: Records
    metrics: Mapping[str, Mapping[str, int]]
    most_workers: Mapping[str, int]
    workers_at_end: Mapping[str, int]
    accepting_s: float
    finishing_s: float
    sentences: Sequence[str]

    @property
    def missing(self) -> int:
        """Accepted, and without a final state."""
        return sum(self.accepted.values()) - self.records.finals.total()

    def as_json(self) -> dict[str, Any]:
        """What `windrow demo --json` prints; times in seconds."""
        return {
            "accepted": {"total": sum(self.accepted.values()), **self.accepted},
            "finished": dict(sorted(self.records.finals.items())),
            "missing": self.missing,
            "metrics": {
                name: {queue: told.get(name, 0) for queue, told in self.metrics.items()}
                for name in ("finished", "attempts", "retries", "failures")
            },
            "queues": {queue: self._queue(queue) for queue in SERIES},
            "accepting_s": round(self.accepting_s, 1),
            "finishing_s": round(self.finishing_s, 1),
            "agree": not self.sentences,
        }

    def as_text(self) -> str:
        """The summary for people."""
        states = sorted(self.records.finals)
        head = ["queue", "accepted", *states, "retries", "wait p50", "wait p95", "most workers"]
        rows = [head]
        for queue in SERIES:
            finished = self.records.finished.get(queue, Counter[str]())
            of = self._queue(queue)
            retries = str(self.metrics.get(queue, {}).get("retries", 0))
            counts = [str(self.accepted.get(queue, 0)), *(str(finished[state]) for state in states), retries]
            rows.append([queue, *counts, _wait(of["wait_p50_s"]), _wait(of["wait_p95_s"]), str(of["max_workers"])])
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        total = sum(self.accepted.values())
        verdict = "producer, records and metrics agree" if not self.sentences else "; ".join(self.sentences)
        times = f"{total} accepted in {self.accepting_s:.0f} s, done {self.finishing_s:.0f} s later"
        return "\n".join([*lines, f"{times}, {self.missing} missing: {verdict}"])

    def _queue(self, queue: str) -> dict[str, Any]:
        p50, p95 = self.records.waits.get(queue, (None, None))
        return {
            "wait_p50_s": None if p50 is None else round(p50, 3),
            "wait_p95_s": None if p95 is None else round(p95, 3),
            "max_workers": self.most_workers.get(queue, 0),
            "workers_at_end": self.workers_at_end.get(queue, 0),
        }


def _wait(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.2f} s"
