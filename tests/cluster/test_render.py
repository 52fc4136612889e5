"""What is rendered can be applied as it is, also where pods have to keep to the restricted standard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.api import APPS, CORE, Api, Object, Refused
from tests.cluster.setting import QueueWorkerObject
from windrow.queues import QueueWorker
from windrow_operator.render import Platform, render

Make = Callable[..., QueueWorkerObject]
PLATFORM = Platform(image="windrow:test", secret="windrow", key_prefix="shop:")
_PATHS = {
    "Deployment": f"{APPS}/namespaces/{{}}/deployments/{{}}",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets/{}",
    "ServiceAccount": f"{CORE}/namespaces/{{}}/serviceaccounts/{{}}",
}
RICH = {
    "connection": {"secretRef": {"name": "own"}},
    "template": {
        "labels": {"team": "post", "windrow.dev/queueworker": "another"},
        "annotations": {"note": "x"},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
        "env": [{"name": "LEVEL", "value": "3"}, {"name": "DATABASE_URL", "value": "postgresql://db/shop"}],
        "envFrom": [{"configMapRef": {"name": "flags", "optional": True}}],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "initContainers": [{"name": "fetch", "image": "fetch:1"}],
        "podSecurityContext": {"runAsUser": 1000, "fsGroup": 1000},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "affinity": {"nodeAffinity": {}},
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
    },
}


def apply(api: Api, made: QueueWorkerObject, replicas: int = 0) -> dict[str, Object]:
    """Apply all of a QueueWorker's objects as the operator does; raises Refused."""
    raw = made.get()
    manifests = render(QueueWorker.model_validate(raw), PLATFORM, raw["metadata"]["uid"], replicas)
    return {
        manifest["kind"]: api.patch(
            _PATHS[manifest["kind"]].format(made.namespace, manifest["metadata"]["name"]),
            manifest,
            "apply",
            fieldManager="windrow-operator",
            force="true",
        )
        for manifest in manifests
    }


def ours(applied: Object) -> tuple[Any, ...]:
    """What changes with a write of ours, and not with a controller's write of the status."""
    (fields,) = (one for one in applied["metadata"]["managedFields"] if one["manager"] == "windrow-operator")
    return applied["metadata"].get("generation"), fields


@pytest.mark.parametrize("spec", [{}, RICH], ids=["plain", "rich"])
def test_an_apply_is_taken_and_a_second_one_changes_nothing(api: Api, queueworker: Make, spec: dict[str, Any]) -> None:
    made = queueworker("mail", **spec)
    first = apply(api, made)
    assert set(first) == {"ServiceAccount", "PodDisruptionBudget", "Deployment"}
    again = apply(api, made)
    for kind, applied in first.items():
        assert ours(again[kind]) == ours(applied), f"{kind} was written twice"


@pytest.mark.parametrize("spec", [{}, RICH], ids=["plain", "rich"])
def test_pods_are_made_where_the_restricted_standard_is_enforced(api: Api, queueworker: Make, spec: dict[str, Any]) -> None:
    made = queueworker("mail", **spec)
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    api.patch(f"{CORE}/namespaces/{made.namespace}", enforced)
    template = apply(api, made)["Deployment"]["spec"]["template"]
    pod = {"metadata": {**template["metadata"], "name": "mail-1"}, "spec": template["spec"]}
    assert api.post(f"{CORE}/namespaces/{made.namespace}/pods?dryRun=All", pod)["metadata"]["name"] == "mail-1"


def test_a_field_that_is_left_out_again_is_taken_away(api: Api, queueworker: Make) -> None:
    made = queueworker(
        "mail", template={"nodeSelector": {"kubernetes.io/os": "linux"}, "env": [{"name": "LEVEL", "value": "3"}]}
    )
    apply(api, made)
    made.patch(template=None)
    pod = apply(api, made)["Deployment"]["spec"]["template"]["spec"]
    assert "nodeSelector" not in pod
    assert "LEVEL" not in {entry["name"] for entry in pod["containers"][0]["env"]}


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ({"resources": {"limits": {"memory": "lots"}}}, "quantities must match the regular expression"),
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "duplicate entries for key"),
        ({"volumes": [{"name": "Data"}]}, "spec.template.spec.volumes"),
        ({"tolerations": [{"operator": "Sometimes"}]}, "spec.template.spec.tolerations"),
        ({"resources": {"limitz": {}}}, "limitz"),
    ],
    ids=["quantity", "twice", "volume", "toleration", "unknown key"],
)
def test_what_only_the_api_server_can_judge_is_refused_with_its_words(
    api: Api, queueworker: Make, template: dict[str, Any], sentence: str
) -> None:
    made = queueworker("mail", template=template)
    with pytest.raises(Refused) as refused:
        apply(api, made)
    assert sentence in str(refused.value)
