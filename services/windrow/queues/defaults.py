"""QueueWorkers that nobody wrote: the default set, and one made from command-line flags."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from windrow.queues.model import API_VERSION, KIND, QueueWorker
from windrow.queues.sentences import first_fault
from windrow.queues.source import Source, SpecError

_DEFAULT_SPECS: dict[str, dict[str, Any]] = {
    "high-priority": {"scaling": {"waitTarget": "5s"}},
    "default": {},
    "file-queue": {},
    "long-running": {"timeLimits": {"soft": "1h", "hard": "1h10m"}},
    "celery": {},
}


def default_specs() -> list[QueueWorker]:
    """The set served when no `windrow.yaml` is given: four queues for four kinds of work, and Celery's own default queue."""
    return [_made(name, spec) for name, spec in _DEFAULT_SPECS.items()]


def from_flags(app: str, queue: str, concurrency: int = 2, pool: str = "prefork") -> QueueWorker:
    """The QueueWorker of `windrow worker -A APP -Q QUEUE -c N -P POOL`, all else by default; raises SpecError."""
    return _made(name_of(queue), {"app": app, "queue": queue, "concurrency": concurrency, "pool": pool})


def name_of(queue: str) -> str:
    """A name that an object may have, as near to the queue's as can be."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in queue.lower())
    return kept[:52].strip("-") or "queue"


def _made(name: str, spec: dict[str, Any]) -> QueueWorker:
    data = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}
    try:
        return QueueWorker.model_validate(data)
    except ValidationError as error:
        raise SpecError(first_fault(error, Source("", 0))[1]) from error
