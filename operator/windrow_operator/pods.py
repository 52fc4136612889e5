"""The pod template of a queue's workers: the operator's own part, with the spec's `template` merged in by fixed rules. Pure.

The user's word counts for what is theirs (image, resources, volumes, affinity, …). What the operator or the worker rests on is
the operator's: its labels, the environment in `OURS`, the annotations it sets pod by pod. `set_aside` names what lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from windrow.queues import QueueWorker
from windrow.queues.model import Connection, Template
from windrow_operator import names

OURS = frozenset(["WINDROW_SPEC", "WINDROW_HOST", "WINDROW_WORKER_METRICS_PORT", "WINDROW_KEY_PREFIX", "REDIS_URL"])
"""Environment that a template can't change: the operator reads the very queue that the worker serves, at the worker's port."""
_OUR_ANNOTATIONS = frozenset([names.DELETION_COST, *names.PROTECTION])
"""Set and taken away pod by pod."""
_HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_CA = "windrow-ca"
_HUNG_GRACE_S = 30
"""A worker whose main process hangs will not finish anything in its grace, so liveness does not wait for that long."""


def pod_template(
    spec: QueueWorker, *, image: str, secret: str, key_prefix: str, document: str, grace_s: int, ca_secret: str, log_format: str
) -> dict[str, Any]:
    """A Deployment's `spec.template`."""
    template = spec.spec.template
    environment = _environment(spec, secret, key_prefix, document, log_format)
    pod = {
        "serviceAccountName": template.service_account_name or names.account_of(spec.name),
        "automountServiceAccountToken": False,
        # A Service called `windrow` would put a WINDROW_PORT of another meaning into the environment.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            **template.pod_security_context,
        },
        "containers": [_container(spec, image, environment, ca_secret)],
        "volumes": _volumes(template, ca_secret),
        **_as_given(template, names.selector(spec.name)),
    }
    annotations = {key: value for key, value in template.annotations.items() if key not in _OUR_ANNOTATIONS}
    metadata = {"labels": {**template.labels, **names.labels(spec.name)}}
    return {"metadata": {**metadata, "annotations": annotations} if annotations else metadata, "spec": pod}


def set_aside(spec: QueueWorker) -> list[str]:
    """The dotted paths of what a template says and the operator decides itself."""
    return list(_set_aside(spec))


def _set_aside(spec: QueueWorker) -> Iterator[str]:
    template = spec.spec.template
    ours = names.labels(spec.name)
    yield from (f"labels.{key}" for key, value in template.labels.items() if ours.get(key, value) != value)
    yield from (f"annotations.{key}" for key in template.annotations if key in _OUR_ANNOTATIONS)
    yield from (f"env.{entry['name']}" for entry in template.env if entry.get("name") in OURS)


def _container(spec: QueueWorker, image: str, environment: dict[str, Any], ca_secret: str) -> dict[str, Any]:
    template = spec.spec.template
    container: dict[str, Any] = {
        "name": "worker",
        "image": template.image or image,
        # Exec form, whatever the image's entrypoint: SIGTERM has to reach the worker's main process, and it alone.
        "command": ["windrow", "worker"],
        **environment,
        "ports": [{"name": names.METRICS_PORT, "containerPort": names.WORKER_PORT, "protocol": "TCP"}],
        "startupProbe": {**_probe("/livez", period=1, timeout=2, failures=300), "terminationGracePeriodSeconds": _HUNG_GRACE_S},
        "livenessProbe": {**_probe("/livez", period=10, timeout=5, failures=3), "terminationGracePeriodSeconds": _HUNG_GRACE_S},
        # Every second: a drained worker must be seen NotReady before the ReplicaSet chooses who goes.
        "readinessProbe": _probe("/readyz", period=1, timeout=2, failures=1),
        "securityContext": {**_HARDENED, "readOnlyRootFilesystem": True},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(template, ca_secret),
    }
    if template.resources:
        container["resources"] = template.resources
    return container


def _probe(path: str, *, period: int, timeout: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": names.METRICS_PORT},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _environment(spec: QueueWorker, secret: str, key_prefix: str, document: str, log_format: str) -> dict[str, Any]:
    """`env` and, where there is any, `envFrom`; what stands in `env` wins, and the last of several in `envFrom` does."""
    connection, template = spec.spec.connection, spec.spec.template
    env: dict[str, dict[str, Any]] = {
        "WINDROW_SPEC": {"name": "WINDROW_SPEC", "value": document},
        "WINDROW_HOST": {"name": "WINDROW_HOST", "value": "0.0.0.0"},  # noqa: S104 - the pod's own address
        "WINDROW_WORKER_METRICS_PORT": {"name": "WINDROW_WORKER_METRICS_PORT", "value": str(names.WORKER_PORT)},
    }
    if key_prefix:
        env["WINDROW_KEY_PREFIX"] = {"name": "WINDROW_KEY_PREFIX", "value": key_prefix}
    if log_format != "console":  # a worker's own default
        env["WINDROW_LOG_FORMAT"] = {"name": "WINDROW_LOG_FORMAT", "value": log_format}
    if connection is None:
        env["REDIS_URL"] = _from_secret("REDIS_URL", secret, optional=False)
        env["DATABASE_URL"] = _from_secret("DATABASE_URL", secret, optional=True)
    theirs = [entry for entry in template.env if entry.get("name") not in OURS]
    replaced = {str(entry.get("name")) for entry in theirs}
    sources = _sources(connection, secret, template.env_from)
    return {
        "env": [*(entry for name, entry in env.items() if name not in replaced), *theirs],
        **({"envFrom": sources} if sources else {}),
    }


def _from_secret(key: str, secret: str, *, optional: bool) -> dict[str, Any]:
    return {"name": key, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": optional}}}


def _sources(connection: Connection | None, platform_secret: str, theirs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With a connection of its own the keys that its Secret lacks are the platform's, and the Secret itself must be there.

    Keys that are optional one by one would not do: without the Secret, a worker would serve the platform's queue of that name.
    """
    if connection is None:
        return theirs
    own = connection.secret_ref.name
    return [{"secretRef": {"name": platform_secret}}, *theirs, {"secretRef": {"name": own}}]


def _mounts(template: Template, ca_secret: str) -> list[dict[str, Any]]:
    given = template.volume_mounts
    if ca_secret:
        given = [{"name": _CA, "mountPath": "/etc/windrow/ca", "readOnly": True}, *given]
    taken = any(str(mount.get("mountPath", "")).rstrip("/") == "/tmp" for mount in given)  # noqa: S108 - a mount, not a file
    return given if taken else [{"name": "tmp", "mountPath": "/tmp"}, *given]  # noqa: S108


def _volumes(template: Template, ca_secret: str) -> list[dict[str, Any]]:
    given = template.volumes
    if ca_secret:
        items = [{"key": "ca.crt", "path": "ca.crt"}]
        given = [{"name": _CA, "secret": {"secretName": ca_secret, "items": items}}, *given]
    return given if any(volume.get("name") == "tmp" for volume in given) else [{"name": "tmp", "emptyDir": {}}, *given]


def _as_given(template: Template, selector: dict[str, str]) -> dict[str, Any]:
    """What goes into the pod as it stands, left out when it is empty."""
    pod = {
        "imagePullSecrets": [secret.model_dump() for secret in template.image_pull_secrets],
        # Allowed under the restricted Pod Security Standard like the worker, unless they say otherwise themselves.
        "initContainers": [{"securityContext": _HARDENED, **container} for container in template.init_containers],
        "priorityClassName": template.priority_class_name,
        "runtimeClassName": template.runtime_class_name,
        # One that selects nothing would spread nothing.
        "topologySpreadConstraints": [
            {"labelSelector": {"matchLabels": selector}, **constraint} for constraint in template.topology_spread_constraints
        ],
        "affinity": template.affinity,
        "tolerations": template.tolerations,
        "nodeSelector": template.node_selector,
    }
    return {key: value for key, value in pod.items() if value}
