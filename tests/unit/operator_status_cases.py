"""QueueWorkers in every state that a condition tells, with what it says."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from windrow.queues import QueueWorker
from windrow_operator.conditions import Said, conditions
from windrow_operator.state import DeploymentState, Figures, Key, PodState, Trouble
from windrow_operator.watched import Entry

NOW = 1_800_000_000.0
READ = Figures(read_at=NOW, ready=7, delayed=2, in_flight=3, workers=2, desired=2)
SETTLED = DeploymentState(uid="d", generation=2, observed_generation=2, replicas=2, exists=2, updated=2)
CRASH = Trouble("CrashLoopBackOff", "container worker: exit code 1 (Error), 5 restarts")


def entry(
    spec: dict[str, Any] | None = None, *, name: str = "mail", pods: list[PodState] | None = None, **fields: Any
) -> Entry:
    metadata = {"name": name, "namespace": "shop", "generation": 4, "creationTimestamp": "2026-01-01T00:00:00Z"}
    raw = {"apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": metadata, "spec": spec or {}}
    given: dict[str, Any] = {"spec": QueueWorker.model_validate(raw), "deployment": SETTLED, **fields}
    if pods is None:
        pods = [pod("a"), pod("b")]
    return Entry(key=Key("shop", name), raw=raw, pods={each.name: each for each in pods}, **given)


def pod(name: str, **changes: Any) -> PodState:
    ready = PodState(
        name=name, uid=name, created=NOW, phase="Running", scheduled=True, ready=True, terminating=False,
        template_hash="h", drained_cost=False, protected=False,
    )  # fmt: skip
    return dataclasses.replace(ready, **changes)


def deployment(**changes: Any) -> DeploymentState:
    return dataclasses.replace(SETTLED, **changes)


def said(given: Entry, figures: Figures | None, kind: str) -> Said | None:
    return next((each for each in conditions(given, figures) if each.type == kind), None)


CASES = [
    # Accepted
    pytest.param(entry(), READ, Said("Accepted", "True", "Applied", "The objects are applied."), id="applied"),
    pytest.param(
        entry(deployment=None),
        None,
        Said("Accepted", "Unknown", "NotYetApplied", "The objects are about to be applied."),
        id="new",
    ),
    pytest.param(
        entry(fault="spec.queue must be served by one QueueWorker, not 'mail' by two"),
        READ,
        Said("Accepted", "False", "QueueServedTwice", "spec.queue must be served by one QueueWorker, not 'mail' by two"),
        id="twin",
    ),
    pytest.param(
        entry(apply_fault="Deployment mail must be acceptable to the API server, which says: no"),
        READ,
        Said("Accepted", "False", "ApplyRefused", "Deployment mail must be acceptable to the API server, which says: no"),
        id="refused",
    ),
    pytest.param(
        entry({"template": {"env": [{"name": "REDIS_URL", "value": "x"}]}}),
        READ,
        Said(
            "Accepted",
            "True",
            "AppliedInPart",
            "The objects are applied but for template.env.REDIS_URL: the operator decides that.",
        ),
        id="set aside",
    ),
    # BrokerReadable
    pytest.param(entry(), READ, Said("BrokerReadable", "True", "Readable", "The queue's figures are of now."), id="readable"),
    pytest.param(entry(), None, Said("BrokerReadable", "Unknown", "NotYetRead", "The queue was not read yet."), id="not read"),
    pytest.param(
        entry(),
        dataclasses.replace(READ, fault="Redis must answer, and did not within 2s."),
        Said("BrokerReadable", "False", "Unreadable", "Redis must answer, and did not within 2s."),
        id="unreadable",
    ),
    pytest.param(
        entry(),
        Figures(fault="Secret own must be there."),
        Said("BrokerReadable", "False", "Unreadable", "Secret own must be there."),
        id="no secret",
    ),
    # WorkersHealthy
    pytest.param(entry(), READ, Said("WorkersHealthy", "True", "AllReady", "Every pod is ready."), id="healthy"),
    pytest.param(
        entry(deployment=None),
        READ,
        Said("WorkersHealthy", "Unknown", "NoDeployment", "There is no Deployment yet."),
        id="none yet",
    ),
    pytest.param(
        entry(deployment=deployment(replicas=0, exists=0, updated=0), pods=[]),
        READ,
        Said("WorkersHealthy", "True", "NoWorkers", "No worker is asked for."),
        id="at zero",
    ),
    pytest.param(
        entry(pods=[pod("a"), pod("b", ready=False)]),
        READ,
        Said("WorkersHealthy", "True", "NotAllReady", "1 of 2 pods are ready, none is in trouble."),
        id="starting",
    ),
    pytest.param(
        entry(deployment=deployment(replicas=0), pods=[pod("a", terminating=True, trouble=CRASH)]),
        READ,
        Said("WorkersHealthy", "True", "NoWorkers", "No worker is asked for."),
        id="a pod that goes is no trouble",
    ),
    pytest.param(
        entry(deployment=deployment(updated=1)),
        READ,
        Said("WorkersHealthy", "True", "RollingOut", "1 of 2 pods are of the newest template."),
        id="rolling",
    ),
    pytest.param(
        entry(
            deployment=deployment(updated=1),
            pods=[
                pod("a"),
                pod("b", ready=False, trouble=CRASH),
                pod("c", ready=False, trouble=CRASH),
                pod("d", ready=False, trouble=Trouble("Unschedulable", "0/3 nodes are available")),
                pod("e", phase="Failed", ready=False),
            ],
        ),
        READ,
        Said(
            "WorkersHealthy",
            "False",
            "CrashLoopBackOff",
            "2 of 4 pods do not come up (1 more for other reasons): CrashLoopBackOff, "
            "container worker: exit code 1 (Error), 5 restarts.",
        ),
        id="crash loop in a rollout",
    ),
    pytest.param(
        entry(deployment=deployment(trouble=Trouble("FailedCreate", "exceeded quota:\n compute")), pods=[]),
        READ,
        Said("WorkersHealthy", "False", "FailedCreate", "Pods can't be made: exceeded quota: compute."),
        id="quota",
    ),
    pytest.param(
        entry(deployment=deployment(trouble=Trouble("ProgressDeadlineExceeded", "timed out"))),
        READ,
        Said("WorkersHealthy", "False", "ProgressDeadlineExceeded", "The rollout is stuck: timed out."),
        id="stuck rollout",
    ),
    pytest.param(
        entry(pods=[]),
        READ,
        Said("WorkersHealthy", "True", "NotAllReady", "0 of 2 pods are ready, none is in trouble."),
        id="not made yet",
    ),
    pytest.param(
        entry(deployment=deployment(replicas=0)),
        READ,
        Said("WorkersHealthy", "True", "AllReady", "Every pod is ready."),
        id="about to go to zero",
    ),
    # ScalingActive
    pytest.param(
        entry(), Figures(), Said("ScalingActive", "Unknown", "NotYetDecided", "No decision was made yet."), id="nothing read"
    ),
    pytest.param(
        entry({"scaling": {"minReplicas": 1, "maxReplicas": 9}}),
        READ,
        Said("ScalingActive", "True", "Autoscaled", "The workers follow the queue, between 1 and 9."),
        id="autoscaled",
    ),
    pytest.param(
        entry({"replicas": 5}),
        READ,
        Said(
            "ScalingActive",
            "False",
            "Pinned",
            "A person fixed the number of workers to 5: run `windrow release mail -n shop` to have it autoscaled.",
        ),
        id="pinned by the spec",
    ),
    pytest.param(
        entry(),
        dataclasses.replace(READ, pinned=True, desired=3),
        Said(
            "ScalingActive",
            "False",
            "Pinned",
            "A person fixed the number of workers to 3: run `windrow release mail -n shop` to have it autoscaled.",
        ),
        id="pinned in Redis",
    ),
    pytest.param(
        entry({"paused": True}),
        READ,
        Said("ScalingActive", "False", "Paused", "Nothing is taken from the queue: set spec.paused to false to go on."),
        id="paused by the spec",
    ),
    pytest.param(
        entry(),
        dataclasses.replace(READ, paused=True),
        Said(
            "ScalingActive", "False", "Paused", "Nothing is taken from the queue: run `windrow release mail -n shop` to go on."
        ),
        id="paused by a person",
    ),
    pytest.param(
        entry(),
        dataclasses.replace(READ, fault="Redis must answer."),
        Said("ScalingActive", "False", "BrokerUnreadable", "No worker is taken away while the queue can't be read."),
        id="blind",
    ),
    pytest.param(
        entry(),
        dataclasses.replace(READ, held="A rollout is under way: no worker is taken away"),
        Said("ScalingActive", "False", "Held", "A rollout is under way: no worker is taken away."),
        id="held",
    ),
    pytest.param(
        entry(), None, Said("ScalingActive", "Unknown", "NotYetDecided", "No decision was made yet."), id="not yet decided"
    ),
    pytest.param(
        entry(fault="twin"),
        READ,
        Said("ScalingActive", "False", "NotAccepted", "The workers stay as they are until the spec is accepted."),
        id="not accepted",
    ),
    # TimeLimitsFit
    pytest.param(
        entry(), READ, Said("TimeLimitsFit", "True", "Fit", "No task asks for longer limits than the queue's."), id="fit"
    ),
    pytest.param(
        entry({"timeLimits": {"hard": "1m"}}),
        dataclasses.replace(READ, capped=("shop.b", "shop.a")),
        Said(
            "TimeLimitsFit",
            "False",
            "Capped",
            "Time limits must stay within the hard limit of queue mail (1m): capped for shop.a, shop.b; "
            "raise spec.timeLimits.hard to let them run longer",
        ),
        id="capped",
    ),
]
