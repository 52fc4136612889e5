"""What holds of a QueueWorker, as conditions: each with a reason of one word and one sentence. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from windrow.queues import QueueWorker, capped_sentence, derive
from windrow_operator.pods import set_aside
from windrow_operator.state import Figures, Key, PodState
from windrow_operator.watched import Entry


@dataclass(frozen=True)
class Said:
    """One condition, without the times that depend on what was said before."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def conditions(entry: Entry, figures: Figures | None) -> list[Said]:
    """Every condition, always in this order.

    TimeLimitsFit alone can be missing: nothing is known of it while no worker runs, and what was known before stays.
    """
    said = [_accepted(entry), _broker_readable(entry, figures), _workers_healthy(entry), _scaling_active(entry, figures)]
    fit = _time_limits_fit(entry, figures)
    return said if fit is None else [*said, fit]


def twins(entries: Iterable[Entry]) -> dict[Key, str]:
    """The sentence for each QueueWorker whose queue an older one already serves on the same Redis."""
    oldest: dict[tuple[str | None, str], Entry] = {}
    found = {}
    for entry in sorted(entries, key=lambda entry: (entry.raw["metadata"].get("creationTimestamp", ""), entry.key)):
        if entry.spec is None:
            continue
        connection, queue = entry.spec.spec.connection, entry.spec.spec.queue
        redis = None if connection is None else f"{entry.key.namespace}/{connection.secret_ref.name}"
        first = oldest.setdefault((redis, queue), entry)
        if first is not entry:
            found[entry.key] = (
                f"spec.queue must be served by one QueueWorker, not {queue!r} by {'/'.join(first.key)} and "
                f"{'/'.join(entry.key)}: delete one or give it another queue"
            )
    return found


def _accepted(entry: Entry) -> Said:
    if entry.fault is not None:
        return Said("Accepted", "False", "InvalidSpec" if entry.spec is None else "QueueServedTwice", entry.fault)
    if entry.apply_fault is not None:
        return Said("Accepted", "False", "ApplyRefused", entry.apply_fault)
    if entry.spec is None or entry.deployment is None:
        return Said("Accepted", "Unknown", "NotYetApplied", "The objects are about to be applied.")
    aside = set_aside(entry.spec)
    if aside:
        left_out = ", ".join(f"template.{path}" for path in aside)
        return Said(
            "Accepted", "True", "AppliedInPart", f"The objects are applied but for {left_out}: the operator decides that."
        )
    return Said("Accepted", "True", "Applied", "The objects are applied.")


def _broker_readable(entry: Entry, figures: Figures | None) -> Said:
    if figures is not None and figures.fault is not None:
        return Said("BrokerReadable", "False", "Unreadable", figures.fault)
    if figures is None or figures.read_at is None:
        return Said("BrokerReadable", "Unknown", "NotYetRead", "The queue was not read yet.")
    return Said("BrokerReadable", "True", "Readable", "The queue's figures are of now.")


def _workers_healthy(entry: Entry) -> Said:
    deployment = entry.deployment
    if deployment is None:
        return Said("WorkersHealthy", "Unknown", "NoDeployment", "There is no Deployment yet.")
    alive = [pod for pod in entry.pods.values() if not pod.terminating and not pod.ended]
    troubled = [pod for pod in alive if pod.trouble is not None]
    if troubled:
        return _troubled(troubled, len(alive))
    if deployment.trouble is not None:
        reason, message = deployment.trouble.reason, deployment.trouble.message
        what = "The rollout is stuck" if reason == "ProgressDeadlineExceeded" else "Pods can't be made"
        return Said("WorkersHealthy", "False", reason, _sentence(f"{what}: {message}"))
    if deployment.updated < deployment.exists:
        message = f"{deployment.updated} of {deployment.exists} pods are of the newest template."
        return Said("WorkersHealthy", "True", "RollingOut", message)
    ready = sum(pod.ready for pod in alive)
    if not alive and deployment.replicas == 0:
        return Said("WorkersHealthy", "True", "NoWorkers", "No worker is asked for.")
    if ready < deployment.replicas:
        return Said(
            "WorkersHealthy", "True", "NotAllReady", f"{ready} of {deployment.replicas} pods are ready, none is in trouble."
        )
    return Said("WorkersHealthy", "True", "AllReady", "Every pod is ready.")


def _troubled(pods: list[PodState], alive: int) -> Said:
    """The trouble that most pods have; the first one's words stand for all of them."""
    troubles = [pod.trouble for pod in sorted(pods, key=lambda pod: pod.name) if pod.trouble is not None]
    reason, count = Counter(trouble.reason for trouble in troubles).most_common(1)[0]
    words = next(trouble.message for trouble in troubles if trouble.reason == reason)
    others = len(pods) - count
    more = f" ({others} more for other reasons)" if others else ""
    return Said(
        "WorkersHealthy", "False", reason, _sentence(f"{count} of {alive} pods do not come up{more}: {reason}, {words}")
    )


def _scaling_active(entry: Entry, figures: Figures | None) -> Said:
    spec = entry.spec
    if entry.fault is not None or spec is None:
        return Said("ScalingActive", "False", "NotAccepted", "The workers stay as they are until the spec is accepted.")
    if spec.spec.replicas is not None or (figures is not None and figures.pinned):
        return Said("ScalingActive", "False", "Pinned", _pinned(entry.key, spec, figures))
    if spec.spec.paused or (figures is not None and figures.paused):
        how = "set spec.paused to false" if spec.spec.paused else f"run `{_release(entry.key)}`"
        return Said("ScalingActive", "False", "Paused", f"Nothing is taken from the queue: {how} to go on.")
    if figures is None or (figures.read_at is None and figures.fault is None):
        return Said("ScalingActive", "Unknown", "NotYetDecided", "No decision was made yet.")
    if figures.fault is not None:
        return Said("ScalingActive", "False", "BrokerUnreadable", "No worker is taken away while the queue can't be read.")
    if figures.held is not None:
        return Said("ScalingActive", "False", "Held", _sentence(figures.held))
    scaling = spec.spec.scaling
    message = f"The workers follow the queue, between {scaling.min_replicas} and {scaling.max_replicas}."
    return Said("ScalingActive", "True", "Autoscaled", message)


def _release(key: Key) -> str:
    return f"windrow release {key.name} -n {key.namespace}"


def _pinned(key: Key, spec: QueueWorker, figures: Figures | None) -> str:
    replicas = spec.spec.replicas if spec.spec.replicas is not None else figures.desired if figures is not None else None
    number = "" if replicas is None else f" to {replicas}"
    return f"A person fixed the number of workers{number}: run `{_release(key)}` to have it autoscaled."


def _time_limits_fit(entry: Entry, figures: Figures | None) -> Said | None:
    if entry.spec is None or figures is None or figures.workers == 0:
        return None
    sentence = capped_sentence(derive(entry.spec), figures.capped)
    if sentence is not None:
        return Said("TimeLimitsFit", "False", "Capped", sentence)
    return Said("TimeLimitsFit", "True", "Fit", "No task asks for longer limits than the queue's.")


def _sentence(text: str) -> str:
    """On one line and with an end, whatever Kubernetes' own words look like."""
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def as_written(said: Said, generation: int, since: str, longest: int) -> dict[str, Any]:
    """The condition as it stands in a status."""
    message = said.message if len(said.message) <= longest else f"{said.message[: longest - 1]}…"
    return {
        "type": said.type,
        "status": said.status,
        "observedGeneration": generation,
        "lastTransitionTime": since,
        "reason": said.reason,
        "message": message,
    }
