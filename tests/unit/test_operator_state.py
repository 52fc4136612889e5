"""What is read from pods and Deployments: readiness, who they belong to, and why they don't come up."""

from __future__ import annotations

from typing import Any

import pytest

from windrow_operator.names import DELETION_COST, PROTECTION
from windrow_operator.state import DeploymentState, PodState, Trouble, seconds, written

CRASHED = {"terminated": {"exitCode": 1, "reason": "Error"}}


def pod(status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "metadata": {
            "name": "mail-5d4f-x7k2p",
            "uid": "u1",
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"pod-template-hash": "5d4f"},
            **metadata,
        },
        "spec": {"nodeName": "node-1"},
    }
    if status is not None:
        given["status"] = status
    return given


def container(**given: Any) -> dict[str, Any]:
    return {"name": "worker", "restartCount": 0, "ready": False, "started": False, "state": {}, **given}


def test_a_ready_pod_is_read_whole() -> None:
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
    }
    assert PodState.of(pod(status)) == PodState(
        name="mail-5d4f-x7k2p",
        uid="u1",
        created=1767323045.0,
        phase="Running",
        scheduled=True,
        ready=True,
        terminating=False,
        template_hash="5d4f",
        drained_cost=False,
        protected=False,
        trouble=None,
    )


def test_a_pod_without_status_is_pending_and_in_no_trouble() -> None:
    given = pod()
    del given["spec"]["nodeName"]
    state = PodState.of(given)
    assert (state.phase, state.scheduled, state.ready, state.trouble) == ("Pending", False, False, None)


def test_annotations_say_who_is_drained_and_who_is_protected() -> None:
    drained = PodState.of(pod(annotations={DELETION_COST: "-100"}))
    protected = PodState.of(pod(annotations=dict(PROTECTION)))
    half = PodState.of(pod(annotations=dict(list(PROTECTION.items())[:1])))
    assert (drained.drained_cost, drained.protected) == (True, False)
    assert (protected.drained_cost, protected.protected) == (False, True)
    assert not half.protected, "one of the two annotations keeps only half of the node removers away"
    assert not PodState.of(pod(annotations={DELETION_COST: "5"})).drained_cost


def test_a_pod_with_a_deletion_time_is_terminating() -> None:
    assert PodState.of(pod(deletionTimestamp="2026-01-02T03:04:05Z")).terminating


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        pytest.param(
            {"containerStatuses": [container(state={"waiting": {"reason": "ContainerCreating"}})]}, None, id="creating"
        ),
        pytest.param(
            {"containerStatuses": [container(state={"waiting": {"reason": "PodInitializing"}})]}, None, id="init runs"
        ),
        pytest.param({"containerStatuses": [container(state={"waiting": {}})]}, None, id="waiting without a reason"),
        pytest.param({"containerStatuses": [container(state={"running": {}})]}, None, id="starting"),
        pytest.param(
            {"containerStatuses": [container(state={"running": {}}, lastState=CRASHED, restartCount=1)]},
            None,
            id="crashed once",
        ),
        pytest.param(
            {"containerStatuses": [container(state={"running": {}}, lastState=CRASHED, restartCount=2)]},
            Trouble("CrashLoopBackOff", "container worker: exit code 1 (Error), 2 restarts"),
            id="crash loop between two back-offs",
        ),
        pytest.param(
            {"containerStatuses": [container(state={"running": {}}, lastState=CRASHED, restartCount=9, started=True)]},
            None,
            id="crashed long ago, now drained",
        ),
        pytest.param(
            {"containerStatuses": [container(state={"terminated": {"exitCode": 0}}, restartCount=9)]}, None, id="ended well"
        ),
        pytest.param(
            {
                "containerStatuses": [
                    container(
                        state={
                            "waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
                        },
                        lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "no\nmemory"}},
                        restartCount=5,
                    )
                ]
            },
            Trouble("CrashLoopBackOff", "container worker: exit code 137 (OOMKilled), 5 restarts: no memory"),
            id="crash loop says how it ended",
        ),
        pytest.param(
            {"containerStatuses": [container(state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}})]},
            Trouble("CrashLoopBackOff", "container worker: back-off 10s"),
            id="crash loop without a last state",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    container(state={"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling x"}})
                ]
            },
            Trouble("ImagePullBackOff", "container worker: Back-off pulling x"),
            id="image",
        ),
        pytest.param(
            {"containerStatuses": [container(state={"waiting": {"reason": "CreateContainerConfigError"}})]},
            Trouble("CreateContainerConfigError", "container worker: no message"),
            id="a secret is missing",
        ),
        pytest.param(
            {
                "initContainerStatuses": [
                    container(name="fetch", state={"waiting": {"reason": "ErrImagePull", "message": "no"}})
                ],
                "containerStatuses": [container(state={"waiting": {"reason": "PodInitializing"}})],
            },
            Trouble("ImagePullBackOff", "container fetch: no"),
            id="init container; a try to pull and the wait for the next are one trouble",
        ),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]},
            Trouble("Unschedulable", "0/3 nodes"),
            id="unschedulable",
        ),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False"}]},
            Trouble("Unschedulable", ""),
            id="unschedulable, no word",
        ),
        pytest.param(
            {"containerStatuses": [container(state=CRASHED, lastState={"terminated": {"exitCode": 2}}, restartCount=3)]},
            Trouble("CrashLoopBackOff", "container worker: exit code 1 (Error), 3 restarts"),
            id="just crashed again",
        ),
        pytest.param(
            {
                "phase": "Failed",
                "reason": "Evicted",
                "containerStatuses": [container(state={"waiting": {"reason": "CrashLoopBackOff"}})],
            },
            None,
            id="a pod that ended is replaced already",
        ),
    ],
)
def test_trouble_is_what_keeps_a_pod_from_coming_up(status: dict[str, Any], trouble: Trouble | None) -> None:
    assert PodState.of(pod({"phase": "Pending", **status})).trouble == trouble


def deployment(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"metadata": {"name": "mail", "uid": "d1", "generation": 4}, "spec": spec}
    return given if status is None else {**given, "status": status}


def test_a_new_deployment_has_nothing_and_was_not_looked_at() -> None:
    assert DeploymentState.of(deployment(replicas=3)) == DeploymentState(
        uid="d1", generation=4, observed_generation=0, replicas=3, exists=0, updated=0
    )


def test_a_deployment_that_says_no_number_has_one_pod() -> None:
    assert DeploymentState.of(deployment()).replicas == 1


def test_what_a_deployment_has_is_what_its_controller_says() -> None:
    status = {"observedGeneration": 3, "replicas": 4, "updatedReplicas": 1, "readyReplicas": 2}
    assert DeploymentState.of(deployment(status, replicas=5)) == DeploymentState(
        uid="d1", generation=4, observed_generation=3, replicas=5, exists=4, updated=1
    )


@pytest.mark.parametrize(
    ("conditions", "trouble"),
    [
        ([{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}], None),
        (
            [
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"},
                {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: compute"},
            ],
            Trouble("FailedCreate", "exceeded quota: compute"),
        ),
        (
            [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}],
            Trouble("ProgressDeadlineExceeded", "timed out"),
        ),
    ],
)
def test_pods_that_cannot_be_made_and_stuck_rollouts_are_trouble(
    conditions: list[dict[str, Any]], trouble: Trouble | None
) -> None:
    assert DeploymentState.of(deployment({"conditions": conditions})).trouble == trouble


def test_times_are_read_and_written_as_the_api_server_does() -> None:
    assert written(seconds("2026-01-02T03:04:05Z")) == "2026-01-02T03:04:05Z"
    assert seconds("2026-01-02T03:04:05.500000Z") == 1767323045.5
