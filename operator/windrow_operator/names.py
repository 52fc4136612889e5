"""Names that the operator's objects carry, in one place: labels, annotations, field managers."""

from __future__ import annotations

from typing import Final

GROUP: Final = "windrow.dev"
VERSION: Final = "v1alpha1"
PLURAL: Final = "queueworkers"

MANAGER: Final = "windrow-operator"
"""The field manager of all that the operator writes."""

MANAGED_BY: Final = {"app.kubernetes.io/managed-by": "windrow-operator"}
"""On every owned object and pod: what the operator watches."""

MANAGED_SELECTOR: Final = ",".join(f"{key}={value}" for key, value in MANAGED_BY.items())
"""The same as a label selector."""

QUEUEWORKER_LABEL: Final = "windrow.dev/queueworker"
"""On every owned object and pod: the QueueWorker's name; with it alone a Deployment selects its pods."""

APPLIED: Final = "windrow.dev/applied"
"""On every owned object: a mark of what was applied last; with another one it is applied anew."""

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
"""Which of its pods a ReplicaSet gives up first: the lowest; best effort."""

DRAINED_COST: Final = "-100"
"""The cost of a worker that has said it drained."""

PROTECTION: Final = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
"""On a busy pod of a queue with long limits: the node's removal waits for it."""

WORKER_PORT: Final = 9464
"""A worker's port in its pod: `/metrics`, `/livez`, `/readyz`."""

METRICS_PORT: Final = "metrics"
"""That port's name."""


def selector(name: str) -> dict[str, str]:
    """What alone selects a QueueWorker's pods; a Deployment's can never be changed."""
    return {QUEUEWORKER_LABEL: name}


def labels(name: str) -> dict[str, str]:
    """What every object and pod of a QueueWorker carries."""
    return {
        "app.kubernetes.io/name": "windrow-worker",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": "worker",
        "app.kubernetes.io/part-of": "windrow",
        **MANAGED_BY,
        **selector(name),
    }


def account_of(name: str) -> str:
    """The ServiceAccount of a QueueWorker that names none; a QueueWorker called `default` must not meet the namespace's own."""
    return f"{name}-worker"
