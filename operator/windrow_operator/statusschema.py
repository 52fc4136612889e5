"""The schema of a QueueWorker's status, and the bounds that `status` keeps to. Pure."""

from __future__ import annotations

from typing import Any, Final

LONGEST_MESSAGE: Final = 1024
"""Characters of a condition's message or a decision's sentence."""
_LONGEST_REASON: Final = 128
_MOST: Final = 2_147_483_647

CONDITIONS: Final = {
    "Accepted": "The spec can be read and its objects were applied.",
    "BrokerReadable": "The queue's Redis answers, so that its figures are of now.",
    "WorkersHealthy": "No worker pod is kept from coming up.",
    "ScalingActive": "The autoscaler's decisions are followed.",
    "TimeLimitsFit": "No task asks for longer limits than the queue's hard limit.",
}
"""Every condition and what it says when it is True."""

MODES: Final = ("Auto", "Pinned", "Paused")


def status_schema() -> dict[str, Any]:
    """What the operator writes, and nobody else."""
    return {
        "type": "object",
        "description": "What the operator last saw and decided.",
        "properties": {
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "minimum": 0,
                "description": "The generation of the spec that this status is about.",
            },
            "replicas": _count("Pods of the Deployment, without those that are ending."),
            "selector": _text("What selects them, for the scale subresource.", 256),
            "queue": _text("The queue these workers serve.", 128),
            "ready": _count("Tasks that may start now."),
            "delayed": _count("Tasks that are due later."),
            "inFlight": _count("Tasks that were taken and have not finished."),
            "oldestSince": _time("When the oldest ready task was accepted; left out when none is ready."),
            "workers": _count("Workers that live."),
            "desired": _count("Workers that there shall be."),
            "mode": {
                "type": "string",
                "enum": list(MODES),
                "description": "Who decides how many workers there are: the autoscaler, a person, or a pause.",
            },
            "lastDecision": {
                "type": "object",
                "description": "The autoscaler's last decision that differed from the one before.",
                "required": ["replicas", "reason", "sentence", "time"],
                "properties": {
                    "replicas": _count("Workers it asked for."),
                    "reason": _text("Why, as one word of a documented list.", 64),
                    "sentence": _text("Why, with the figures it was made from.", LONGEST_MESSAGE),
                    "time": _time("When it was made."),
                },
            },
            "conditions": {
                "type": "array",
                "maxItems": 16,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "description": "What holds of this object, each with its reason.",
                "items": {
                    "type": "object",
                    "required": ["type", "status", "lastTransitionTime", "reason", "message"],
                    "properties": {
                        "type": _text(" ".join(f"{name}: {meaning}" for name, meaning in CONDITIONS.items()), 64),
                        "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
                        "observedGeneration": {
                            "type": "integer",
                            "format": "int64",
                            "minimum": 0,
                            "description": "The generation of the spec that it is about.",
                        },
                        "lastTransitionTime": _time("When the status last changed."),
                        "reason": _text("Why, as one word.", _LONGEST_REASON),
                        "message": _text("Why, in one sentence.", LONGEST_MESSAGE),
                    },
                },
            },
        },
    }


def _count(meaning: str) -> dict[str, Any]:
    return {"type": "integer", "format": "int32", "minimum": 0, "maximum": _MOST, "description": meaning}


def _text(meaning: str, longest: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": longest, "description": meaning}


def _time(meaning: str) -> dict[str, Any]:
    return {"type": "string", "format": "date-time", "description": meaning}
