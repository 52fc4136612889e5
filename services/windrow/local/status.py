"""What the supervisor last decided, kept in the state folder, and the view of a platform from another process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from windrow.broker.client import Client
from windrow.broker.observe import QueueReading, known_queues, observe
from windrow.local.folders import read_json, write_json
from windrow.local.supervisor import QueueView, Snapshot
from windrow.scaling import Decision, Reason

FILE = "scaling.json"
_REASONS = {reason.value: reason for reason in Reason}


def keep(state_dir: Path, snapshot: Snapshot) -> None:
    """Keep the decisions and what is starting, for `look`."""
    decisions = {
        view.name: {
            "replicas": view.decision.replicas,
            "reason": view.decision.reason.value,
            "sentence": view.decision.sentence,
            "starting": view.starting,
            "rate": view.rate,
            "trouble": view.trouble,
        }
        for view in snapshot.queues
        if view.decision
    }
    write_json(state_dir / FILE, decisions)


def look(client: Client, queues: Mapping[str, str], state_dir: Path | None, wall: float) -> Snapshot:
    """A platform as Redis shows it, with what its supervisor (if it runs on `state_dir`) decided. Raises redis.RedisError.

    `queues` are the served ones by QueueWorker name; without them the queues that are known to Redis stand for themselves.
    """
    known = known_queues(client)
    served = dict(queues) or {queue: queue for queue in sorted(known)}
    strangers = known - set(served.values())
    readings = observe(client, [*served.values(), *strangers], wall)
    decided = read_json(state_dir / FILE) if state_dir else {}
    views = tuple(_view(name, readings[queue], decided.get(name)) for name, queue in served.items())
    return Snapshot(wall, True, views, tuple(readings[queue] for queue in sorted(strangers) if readings[queue].ready))


def _view(name: str, reading: QueueReading, decided: Mapping[str, object] | None) -> QueueView:
    serving = [worker for worker in reading.workers if worker.drain is None]
    decided = decided or {}
    rate, trouble, starting = decided.get("rate"), decided.get("trouble"), decided.get("starting")
    return QueueView(
        name=name,
        queue=reading.queue,
        reading=reading,
        decision=_decision(decided),
        starting=starting if isinstance(starting, int) else 0,
        serving=len(serving),
        busy=sum(worker.busy > 0 or worker.taken > 0 for worker in serving),
        leaving=len(reading.workers) - len(serving),
        rate=rate if isinstance(rate, float) else None,
        trouble=trouble if isinstance(trouble, str) else None,
    )


def _decision(decided: Mapping[str, object]) -> Decision | None:
    replicas, reason, sentence = decided.get("replicas"), decided.get("reason"), decided.get("sentence")
    if isinstance(replicas, int) and isinstance(sentence, str) and reason in _REASONS:
        return Decision(replicas, _REASONS[str(reason)], sentence)
    return None
