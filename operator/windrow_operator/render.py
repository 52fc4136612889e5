"""The objects of one QueueWorker, whole, as they are applied. Pure: what decides here is the spec and the platform alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from windrow.queues import QueueWorker, derive
from windrow_operator import names
from windrow_operator.pods import pod_template

Manifest = dict[str, Any]

_WORKER_READS = {
    "queue",
    "app",
    "pool",
    "concurrency",
    "acks_late",
    "time_limits",
    "rate_limit",
    "max_recoveries",
    "recycle",
}
"""What a worker reads of its spec: a change of anything else replaces no pod."""


@dataclass(frozen=True)
class Platform:
    """What all queues of one platform have in common."""

    image: str
    """The workers' image, where a template names none."""
    secret: str
    """The Secret, in each QueueWorker's namespace, with REDIS_URL and, for tasks that use the database, DATABASE_URL."""
    key_prefix: str = ""
    """What stands before every Redis key."""
    pod_monitors: bool = False
    """Whether each queue gets a PodMonitor (its CRD must be there)."""
    monitor_labels: Mapping[str, str] = field(default_factory=dict)
    """What PodMonitors are labelled with besides: what a Prometheus looks for."""
    installation: str = ""
    """What PodMonitors put on every target as the label `installation`; nothing when empty."""
    ca_secret: str = ""
    """The Secret, in each QueueWorker's namespace, whose `ca.crt` workers see as `/etc/windrow/ca/ca.crt`."""
    log_format: str = "console"
    """How workers log, where a template's `env` doesn't say it: as the operator does."""


def render(spec: QueueWorker, platform: Platform, owner_uid: str, replicas: int) -> list[Manifest]:
    """What is applied for one QueueWorker, in this order; `replicas` goes into the Deployment as it is.

    Each apply carries every field that is ours: server-side apply takes away what an earlier one had and this one has not.
    """
    manifests = [_disruption_budget(spec), _deployment(spec, platform, replicas)]
    if spec.spec.template.service_account_name is None:
        manifests.insert(0, _service_account(spec))
    if platform.pod_monitors:
        manifests.append(_pod_monitor(spec, platform))
    return [_owned(manifest, spec, owner_uid) for manifest in manifests]


def worker_document(spec: QueueWorker) -> str:
    """The QueueWorker as the pod's WINDROW_SPEC: JSON, only what a worker reads, the same text for the same values."""
    given = spec.spec.model_dump(mode="json", by_alias=True, include=_WORKER_READS, exclude_none=True)
    document = {
        "apiVersion": spec.api_version,
        "kind": spec.kind,
        "metadata": {"name": spec.name},
        "spec": given,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _owned(manifest: Manifest, spec: QueueWorker, owner_uid: str) -> Manifest:
    """The manifest with what each of ours carries: namespace, labels and the QueueWorker as its controller."""
    manifest["metadata"] = {
        "namespace": spec.metadata.namespace or "default",
        "labels": names.labels(spec.name),
        # Blocking the owner's deletion would need rights on finalizers, and nothing here has to be waited for.
        "ownerReferences": [
            {
                "apiVersion": spec.api_version,
                "kind": spec.kind,
                "name": spec.name,
                "uid": owner_uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
        **manifest["metadata"],
    }
    return manifest


def _service_account(spec: QueueWorker) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": names.account_of(spec.name)},
        "automountServiceAccountToken": False,
    }


def _disruption_budget(spec: QueueWorker) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": spec.name},
        "spec": {
            "maxUnavailable": 1,
            # A drained or broken worker is NotReady and does nothing that an eviction could harm.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": names.selector(spec.name)},
        },
    }


def _deployment(spec: QueueWorker, platform: Platform, replicas: int) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": spec.name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": names.selector(spec.name)},
            # A template whose pods don't come up leaves every worker that serves where it is.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 600,
            "template": pod_template(
                spec,
                image=platform.image,
                secret=platform.secret,
                key_prefix=platform.key_prefix,
                document=worker_document(spec),
                grace_s=math.ceil(derive(spec).termination_grace_s),
                ca_secret=platform.ca_secret,
                log_format=platform.log_format,
            ),
        },
    }


def _pod_monitor(spec: QueueWorker, platform: Platform) -> Manifest:
    endpoint: Manifest = {"port": names.METRICS_PORT, "path": "/metrics", "interval": "15s"}
    if platform.installation:
        endpoint["relabelings"] = [{"targetLabel": "installation", "replacement": platform.installation}]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": spec.name, "labels": {**platform.monitor_labels, **names.labels(spec.name)}},
        "spec": {"selector": {"matchLabels": names.selector(spec.name)}, "podMetricsEndpoints": [endpoint]},
    }
