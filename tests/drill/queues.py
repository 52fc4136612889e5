"""The drill's queues: for each harm one of its own, so that several can be done at the same time."""

from __future__ import annotations

from typing import Any

import yaml

_SUCCESS = {"success": {"target": "95%"}}
"""A budget of 5 %: 72 % of failures burn it at 14.4, 30 % at 6, 15 % at 3, and a few tasks are enough to tell these apart."""
_START = {"start": {"within": "1s", "target": "95%"}}
_HEALTHY = {"start": {"within": "20s", "target": "90%"}, "success": {"target": "95%"}}

HEALTHY = ("steady", "bursts", "retrying")
SUCCESS = ("success-fast", "success-slow", "success-ticket")
START = ("start-fast", "start-slow", "start-ticket")

_QUEUES: dict[str, dict[str, Any]] = {
    "steady": {"scaling": {"minReplicas": 1, "maxReplicas": 2}, "recycle": {"tasks": 200}, "objectives": _HEALTHY},
    "bursts": {"scaling": {"maxReplicas": 2, "waitTarget": "10s", "scaleDownWindow": "5s"}, "objectives": _HEALTHY},
    "retrying": {"scaling": {"maxReplicas": 1, "scaleDownWindow": "10s"}, "objectives": _HEALTHY},
    **{name: {"objectives": _SUCCESS} for name in SUCCESS},
    **{name: {"objectives": _START} for name in START},
    "stalled": {},
    "hanging": {"app": "tests.drill.hanging:app", "scaling": {"maxReplicas": 2}},
    "missing": {"app": "tests.drill.hanging:app", "scaling": {"maxReplicas": 2}},
    "crashing": {"app": "tests.drill.crashing:app"},
    "at-max": {"scaling": {"maxReplicas": 1, "waitTarget": "2s"}},
    "lost": {"maxRecoveries": 0},
    "stuck": {"timeLimits": {"soft": "2s", "hard": "30m"}},
    "storm": {},
    "apart": {},
}
NAMES = tuple(_QUEUES)
UNSERVED = "nobody"
"""A queue without a QueueWorker."""


def documents() -> str:
    """The QueueWorkers as `windrow.yaml`; where nothing is said, one worker at most, gone some seconds after it was needed."""
    made = []
    for name, own in _QUEUES.items():
        spec = {"queue": name, "app": "tests.drill.tasks:app", "concurrency": 1, "timeLimits": {"hard": "30s"}, **own}
        spec["scaling"] = {"maxReplicas": 1, "waitTarget": "1m", "scaleDownWindow": "10s", **own.get("scaling", {})}
        made.append({"apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": {"name": name}, "spec": spec})
    return str(yaml.safe_dump_all(made))
