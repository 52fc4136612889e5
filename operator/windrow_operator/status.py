"""The status of a QueueWorker: the whole object, and when it is worth a write. Pure."""

from __future__ import annotations

from typing import Any

from windrow_operator import names
from windrow_operator.conditions import as_written, conditions
from windrow_operator.state import Figures, seconds, written
from windrow_operator.statusschema import LONGEST_MESSAGE
from windrow_operator.watched import Entry

Status = dict[str, Any]

FIGURES_EVERY_S = 5.0
"""Figures of one object are written at most this often."""
REPLICAS_EVERY_S = 1.0
"""A Deployment that grows reports each pod; what /scale answers may be that old."""
_SAME_MOMENT_S = 2.0
"""A waiting task's time is worked out anew at each reading, and wavers by less than this."""


def status_of(entry: Entry, figures: Figures | None, now: float) -> Status:
    """The status to write now (`now` in seconds since 1970): what the last one says is kept where nothing newer is known."""
    old = previous(entry)
    generation = entry.raw["metadata"].get("generation", 0)
    status: Status = {
        "observedGeneration": generation,
        "replicas": entry.deployment.exists if entry.deployment is not None else 0,
        "selector": ",".join(f"{key}={value}" for key, value in names.selector(entry.key.name).items()),
    }
    if entry.spec is not None:
        status["queue"] = entry.spec.spec.queue
        status["mode"] = _mode(entry, figures)
    status |= _figures(old, figures)
    status["conditions"] = _conditions(entry, figures, old, generation, written(now))
    decision = _decision(old, figures, now)
    if decision is not None:
        status["lastDecision"] = decision
    return status


def previous(entry: Entry) -> Status:
    """The status that the API server has, as far as this process knows."""
    if entry.status is not None:
        return entry.status
    found = entry.raw.get("status")
    return found if isinstance(found, dict) else {}


def due(old: Status, new: Status, since_write_s: float) -> bool:
    """Whether a changed status is written now, so many seconds after the last write for this object.

    What a person waits for or is alarmed by goes at once, a count when it is due.
    """
    if _at_once(old) != _at_once(new):
        return True
    if old.get("replicas") != new.get("replicas") and since_write_s >= REPLICAS_EVERY_S:
        return True
    return old != new and since_write_s >= FIGURES_EVERY_S


def _at_once(status: Status) -> tuple[Any, ...]:
    # While a condition holds, its reason tells of ordinary life: pods start, pods end.
    said = tuple((c["type"], c["status"], c["status"] == "True" or c["reason"]) for c in status.get("conditions", ()))
    return (*(status.get(key) for key in ("observedGeneration", "selector", "queue", "mode")), said)


def _mode(entry: Entry, figures: Figures | None) -> str:
    spec = entry.spec
    if (spec is not None and spec.spec.paused) or (figures is not None and figures.paused):
        return "Paused"
    if (spec is not None and spec.spec.replicas is not None) or (figures is not None and figures.pinned):
        return "Pinned"
    return "Auto"


def _figures(old: Status, figures: Figures | None) -> Status:
    """The counts of the last reading; those of an earlier one stay while there is none."""
    kept: Status = {
        key: old[key] for key in ("ready", "delayed", "inFlight", "oldestSince", "workers", "desired") if key in old
    }
    if figures is None:
        return kept
    if figures.read_at is not None:
        kept |= {"ready": figures.ready, "delayed": figures.delayed, "inFlight": figures.in_flight, "workers": figures.workers}
        kept.pop("oldestSince", None)
        if figures.oldest_since is not None:
            kept["oldestSince"] = _moment(figures.oldest_since, old.get("oldestSince"))
    if figures.desired is not None:
        kept["desired"] = figures.desired
    return kept


def _moment(at: float, before: str | None) -> str:
    return before if before is not None and abs(seconds(before) - at) < _SAME_MOMENT_S else written(at)


def _conditions(entry: Entry, figures: Figures | None, old: Status, generation: int, now: str) -> list[dict[str, Any]]:
    before = {condition["type"]: condition for condition in old.get("conditions", ())}
    made = []
    for said in conditions(entry, figures):
        last = before.pop(said.type, None)
        since = last["lastTransitionTime"] if last is not None and last["status"] == said.status else now
        made.append(as_written(said, generation, since, LONGEST_MESSAGE))
    if "TimeLimitsFit" in before:
        made.append(before["TimeLimitsFit"])
    return made


def _decision(old: Status, figures: Figures | None, now: float) -> dict[str, Any] | None:
    """The last decision that was another one: the same number for the same reason is still the old one."""
    last: dict[str, Any] | None = old.get("lastDecision")
    decision = figures.decision if figures is not None else None
    if decision is None:
        return last
    if last is not None and (last["replicas"], last["reason"]) == (decision.replicas, str(decision.reason)):
        return last
    return {
        "replicas": decision.replicas,
        "reason": str(decision.reason),
        "sentence": decision.sentence[:LONGEST_MESSAGE],
        "time": written(now),
    }
