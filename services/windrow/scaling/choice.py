"""Which workers go and which may stay after all."""

from __future__ import annotations

from windrow.scaling.state import Observation, WorkerState


def choose_victims(observation: Observation, replicas: int) -> tuple[str, ...]:
    """Ids of the workers to ask to drain so that `replicas` go on serving: idle ones first, then those with least in flight.

    A starting worker can't answer yet and is no victim; it becomes one as soon as it serves. A busy one is asked only when
    there are not idle ones enough (a person pinned fewer, maxReplicas was lowered): it finishes what it has.
    """
    excess = observation.serving - replicas
    candidates = [worker for worker in observation.workers if worker.state == "ready"]
    # Among equals the last by name goes, so that low numbers live long.
    candidates.sort(key=_name, reverse=True)
    candidates.sort(key=_load)
    return tuple(worker.id for worker in candidates[: max(0, excess)])


def choose_withdrawals(observation: Observation, replicas: int) -> tuple[str, ...]:
    """Ids of the workers whose request to drain to withdraw before any new one is started: those with most free slots first.

    A worker that already said it drained is on its way out and is not called back.
    """
    missing = replicas - observation.serving
    candidates = [worker for worker in observation.workers if worker.state == "asked"]
    candidates.sort(key=_name)
    candidates.sort(key=lambda worker: worker.busy - worker.slots)
    return tuple(worker.id for worker in candidates[: max(0, missing)])


def _name(worker: WorkerState) -> tuple[str, str]:
    return worker.name, worker.id


def _load(worker: WorkerState) -> tuple[int, int]:
    return worker.busy, worker.taken
