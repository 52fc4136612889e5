"""The QueueWorker: all that is particular to one queue, as `windrow.yaml`, the operator and the worker read it.

One model: it checks the file on a laptop and is what the CRD is generated from, so every field has bounds and a description.
YAML keys are camelCase, Python names snake_case. A key left out has the default written here; an explicit null is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from pydantic.alias_generators import to_camel

from windrow.queues.fields import Duration, Memory, Pattern, Percent, Rate, Window, refuse
from windrow.queues.quantities import format_duration
from windrow.queues.source import Source

API_VERSION: Literal["windrow.dev/v1alpha1"] = "windrow.dev/v1alpha1"
KIND: Literal["QueueWorker"] = "QueueWorker"
DEFAULT_APP = "windrow.authoring.app:app"
HARD_AFTER_SOFT = 10.0
"""Seconds between the soft limit and a hard limit that was left out."""
DEFAULT_HARD = 3600.0
"""Seconds of the hard limit when neither limit is given: the termination grace rests on there being one."""

Name = Annotated[
    str,
    Pattern(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "must be lower-case letters, digits and '-', with a letter or digit at both ends",
        52,  # a Deployment's pods add 11 characters to it and stay within a label's 63
    ),
]
QueueName = Annotated[
    str,
    Pattern(r"^[A-Za-z0-9_.:@+-]+$", "must be letters, digits and any of _ . : @ + -", 128),
]
AppPath = Annotated[
    str,
    Pattern(
        r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*(:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*)?$",
        "must be a module and a name in it, such as shop.celery:app",
        256,
    ),
]
LocalName = Annotated[str, Field(min_length=1, max_length=253)]
KubernetesObject = Annotated[dict[str, Any], Field(max_length=100)]
"""Part of a PodSpec, handed on as it stands: the API server judges what is in it."""
Label = Annotated[str, Field(max_length=63)]
Annotation = Annotated[str, Field(max_length=262_144)]

RESERVED_QUEUES = ("windrow:", "_kombu.", "unacked")
"""Beginnings of Redis keys that are not queues."""
QUEUE_MUST = f"must not begin with {', '.join(RESERVED_QUEUES)}: such Redis keys are no queues"
POOL_MUST = "must be prefork, asyncio or threads (a green-thread pool can neither end a task nor keep its lease)"
_SERVER_FILLED = frozenset(
    [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "ownerReferences",
        "finalizers",
        "selfLink",
        "generateName",
    ]
)
"""Keys of `metadata` that an API server fills in; they say nothing about a queue."""


class _Part(BaseModel):
    """What every part of a spec keeps to: frozen, no unknown key, no conversion of types, no null."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key, value in data.items():
                if value is None:
                    refuse("must be left out or have a value", key=str(key), given=None)
        return data


class TimeLimits(_Part):
    """How long a task may run. A task's own limits win, each capped by `hard`."""

    soft: Duration | None = Field(
        default=None,
        description="SoftTimeLimitExceeded is raised in the task after this long. Left out: no soft limit.",
        examples=["1h"],
    )
    hard: Duration = Field(
        default_factory=lambda data: hard_limit(data.get("soft")),
        description="The task is ended after this long, and no task's own limit goes beyond it, since the termination grace "
        "rests on it. Left out: 10 s after `soft`, or 1h when there is no `soft` either.",
        examples=["1h10m"],
    )

    @model_validator(mode="after")
    def _soft_before_hard(self) -> TimeLimits:
        if self.soft is not None and self.soft >= self.hard:
            refuse(f"must be shorter than hard ({format_duration(self.hard)})", key="soft", given=format_duration(self.soft))
        return self


def hard_limit(soft: float | None) -> float:
    """Seconds of the hard limit that belongs to a soft one when none is given."""
    return DEFAULT_HARD if soft is None else soft + HARD_AFTER_SOFT


class Recycle(_Part):
    """When a worker's child process is replaced by a fresh one: after either of the two."""

    tasks: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="After this many tasks. Left out: never.", examples=[1000]
    )
    memory: Memory | None = Field(
        default=None,
        description="When it holds more resident memory than this after a task. Left out: never.",
        examples=["512Mi"],
    )


class Scaling(_Part):
    """How many workers the queue may have and how soon a task should start."""

    min_replicas: int = Field(default=0, ge=0, le=10_000, description="Workers that stay when there is nothing to do.")
    max_replicas: int = Field(default=50, ge=1, le=10_000, description="The most workers the autoscaler asks for.")
    wait_target: Duration = Field(
        default=30.0,
        description="The oldest ready task should start within this time; with many ready, workers are added until it does.",
        examples=["30s"],
    )
    scale_down_window: Window = Field(
        default=120.0,
        description="Workers are taken away only after they were not needed for this long.",
        examples=["2m"],
    )
    fallback_replicas: int = Field(
        default=2,
        ge=0,
        le=10_000,
        description="Workers to run when the broker can't be read and there are none; kept within minReplicas and maxReplicas.",
    )

    @model_validator(mode="after")
    def _min_within_max(self) -> Scaling:
        if self.min_replicas > self.max_replicas:
            refuse(f"must be at most maxReplicas ({self.max_replicas})", key="minReplicas", given=self.min_replicas)
        return self


class StartObjective(_Part):
    """How soon attempts start."""

    within: Duration = Field(
        description="An attempt that waited, ready, longer than this has started late.",
        examples=["30s"],
    )
    target: Percent = Field(description="The share of attempts that start in time.", examples=["99%"])


class SuccessObjective(_Part):
    """How many executions succeed."""

    target: Percent = Field(
        description="The share of ended executions that end as `success`; `cancelled` and `rejected` ones don't count.",
        examples=["99.5%"],
    )


class Objectives(_Part):
    """What the queue's users are promised: who is on call is called when it is about to be broken."""

    start: StartObjective | None = Field(default=None, description="How soon attempts start. Left out: nothing is promised.")
    success: SuccessObjective | None = Field(
        default=None, description="How many executions succeed. Left out: nothing is promised."
    )


class SecretRef(_Part):
    """A Secret in the same namespace."""

    name: LocalName = Field(description="The Secret's name.")


class Connection(_Part):
    """Broker and database of this queue, when they are not the platform's."""

    secret_ref: SecretRef = Field(
        description="A Secret with the keys REDIS_URL and DATABASE_URL; a key it lacks is the platform's."
    )


class Template(_Part):
    """What may be said about the pods of this queue's workers: a closed list, each as in a Kubernetes PodSpec."""

    image: str | None = Field(default=None, min_length=1, max_length=1024, description="The workers' image.")
    image_pull_secrets: list[SecretRef] = Field(default=[], max_length=50, description="Secrets to pull the image with.")
    service_account_name: LocalName | None = Field(default=None, description="The account the workers run under.")
    labels: dict[str, Label] = Field(default={}, max_length=100, description="Labels to add to the pods.")
    annotations: dict[str, Annotation] = Field(default={}, max_length=100, description="Annotations to add to the pods.")
    resources: KubernetesObject = Field(default={}, description="Requests and limits of the worker's container.")
    env: list[KubernetesObject] = Field(default=[], max_length=500, description="Environment of the worker's container.")
    env_from: list[KubernetesObject] = Field(
        default=[], max_length=100, description="ConfigMaps and Secrets that the worker's environment is filled from."
    )
    volumes: list[KubernetesObject] = Field(default=[], max_length=100, description="Volumes to add to the pods.")
    volume_mounts: list[KubernetesObject] = Field(
        default=[], max_length=100, description="Where those volumes stand in the worker's container."
    )
    init_containers: list[KubernetesObject] = Field(
        default=[], max_length=50, description="Containers that run before the worker."
    )
    pod_security_context: KubernetesObject = Field(default={}, description="The pods' securityContext.")
    priority_class_name: LocalName | None = Field(default=None, description="The pods' priority class.")
    runtime_class_name: LocalName | None = Field(
        default=None, description="The pods' runtime class, such as one of gVisor or Kata Containers."
    )
    topology_spread_constraints: list[KubernetesObject] = Field(
        default=[], max_length=50, description="How the pods spread over zones and nodes."
    )
    affinity: KubernetesObject = Field(default={}, description="The pods' affinity.")
    tolerations: list[KubernetesObject] = Field(default=[], max_length=100, description="Taints the pods tolerate.")
    node_selector: dict[str, Label] = Field(default={}, max_length=100, description="Labels a node must have.")


class Spec(_Part):
    """All that is particular to one queue."""

    queue: QueueName = Field(
        default_factory=str,
        description="The queue these workers serve. Left out: the object's name with - as _.",
        examples=["long_running"],
    )
    app: AppPath = Field(
        default=DEFAULT_APP,
        description="The Celery app, as module:name. Left out: Windrow's own app with the bundled tasks.",
        examples=["myproject.celery:app"],
    )
    pool: Literal["prefork", "asyncio", "threads"] = Field(
        default="prefork",
        description="How a worker runs its slots: in a process each (prefork), as coroutines of one process, whose `def` tasks "
        "get threads (asyncio), or in threads of one process (threads).",
    )
    concurrency: int = Field(default=2, ge=1, le=1000, description="Slots of each worker: tasks it runs at a time.")
    acks_late: bool = Field(
        default=True,
        description="A task is acknowledged when it has ended, so a worker's death repeats it. A task's own acks_late wins.",
    )
    time_limits: TimeLimits = Field(default_factory=TimeLimits, description="How long a task may run.")
    rate_limit: Rate | None = Field(
        default=None,
        description="Task starts for the whole queue, however many workers. A task's own rate_limit stays per worker.",
        examples=["100/m"],
    )
    max_recoveries: int = Field(
        default=3,
        ge=0,
        le=100,
        description="How often a task is given back to the queue after the process or worker that ran it died, from the second "
        "time on alone in its worker; then it ends as lost.",
    )
    recycle: Recycle = Field(default_factory=Recycle, description="When a worker's child process is replaced.")
    paused: bool = Field(default=False, description="While true, nothing is taken from the queue; running tasks finish.")
    replicas: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="Pins the number of workers, also outside minReplicas and maxReplicas. Left out: autoscaled.",
    )
    scaling: Scaling = Field(default_factory=Scaling, description="How the autoscaler chooses the number of workers.")
    objectives: Objectives = Field(
        default_factory=Objectives, description="What is promised of the queue; alerts follow from it."
    )
    connection: Connection | None = Field(default=None, description="Broker and database, when not the platform's.")
    template: Template = Field(default_factory=Template, description="What is particular to this queue's pods.")

    @model_validator(mode="before")
    @classmethod
    def _pool_that_exists(cls, data: Any) -> Any:
        if isinstance(data, dict):
            pool = data.get("pool")
            if pool in ("gevent", "eventlet"):
                refuse(POOL_MUST, key="pool", given=pool)
        return data

    @model_validator(mode="after")
    def _queue_is_no_other_key(self) -> Spec:
        if self.queue.startswith(RESERVED_QUEUES):
            refuse(QUEUE_MUST, key="queue", given=self.queue)
        return self


class Metadata(_Part):
    """The object's name, and what Kubernetes keeps beside it."""

    name: Name = Field(description="The object's name.")
    namespace: str | None = Field(default=None, description="The object's namespace.")
    labels: dict[str, str] = Field(default={}, description="The object's labels.")
    annotations: dict[str, str] = Field(default={}, description="The object's annotations.")

    @model_validator(mode="before")
    @classmethod
    def _without_the_servers_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if key not in _SERVER_FILLED}
        return data


class QueueWorker(_Part):
    """One queue's workers."""

    api_version: Literal["windrow.dev/v1alpha1"] = Field(description="The version of this format.")
    kind: Literal["QueueWorker"] = Field(description="What this object is.")
    metadata: Metadata = Field(description="The object's name and labels.")
    spec: Spec = Field(default_factory=Spec, description="All that is particular to the queue.")

    _source: Source | None = PrivateAttr(default=None)

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name

    @property
    def source(self) -> Source | None:
        """Where the object was written; None when it came from flags or an API server."""
        return self._source

    def written_in(self, source: Source) -> QueueWorker:
        """The same object, knowing where it was written."""
        copy = self.model_copy()
        copy._source = source
        return copy

    @model_validator(mode="before")
    @classmethod
    def _queue_from_name(cls, data: Any) -> Any:
        """The queue's default needs the name, which stands beside the spec; `status` is the operator's, not ours."""
        if not isinstance(data, dict):
            return data
        data = {key: value for key, value in data.items() if key != "status"}
        metadata, spec = data.get("metadata"), data.get("spec", {})
        if isinstance(metadata, dict) and isinstance(metadata.get("name"), str) and isinstance(spec, dict):
            data["spec"] = {"queue": metadata["name"].replace("-", "_"), **spec}
        return data
