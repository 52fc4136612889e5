"""Specs, workers and observations for the tests of scaling."""

from __future__ import annotations

from windrow.queues import QueueWorker, parse_specs
from windrow.scaling import Decision, History, Observation, WorkerState, decide
from windrow.scaling.state import WorkerStage


def spec(body: str = "{}") -> QueueWorker:
    """A QueueWorker with this spec."""
    (made,) = parse_specs(f"apiVersion: windrow.dev/v1alpha1\nkind: QueueWorker\nmetadata: {{name: q}}\nspec: {body}\n")
    return made


def workers(
    count: int, busy: int = 0, *, slots: int = 2, state: WorkerStage = "ready", first: int = 0
) -> tuple[WorkerState, ...]:
    """So many workers, each with so many busy slots."""
    return tuple(WorkerState(f"id-{n}", f"q-{n:03}", slots, busy, busy, state) for n in range(first, first + count))


def first_decision(of: QueueWorker, observation: Observation) -> Decision:
    """The decision of somebody who has just started to look."""
    return decide(of, observation, History())[0]
