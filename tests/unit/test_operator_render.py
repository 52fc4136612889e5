"""What is applied for a QueueWorker: names, owners, the pod's own safety, and how a template is merged in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from windrow.queues import QueueWorker
from windrow_operator.names import DELETION_COST, PROTECTION
from windrow_operator.pods import OURS, set_aside
from windrow_operator.render import Platform, render, worker_document

PLATFORM = Platform(image="windrow:1", secret="windrow")


def queueworker(spec: dict[str, Any] | None = None, name: str = "mail") -> QueueWorker:
    return QueueWorker.model_validate(
        {
            "apiVersion": "windrow.dev/v1alpha1",
            "kind": "QueueWorker",
            "metadata": {"name": name, "namespace": "shop", "uid": "ignored"},
            "spec": spec or {},
        }
    )


def rendered(spec: dict[str, Any] | None = None, platform: Platform = PLATFORM, replicas: int = 3) -> dict[str, dict[str, Any]]:
    return {manifest["kind"]: manifest for manifest in render(queueworker(spec), platform, "uid-1", replicas)}


def pod(template: dict[str, Any] | None = None, platform: Platform = PLATFORM, **spec: Any) -> dict[str, Any]:
    manifests = rendered({**spec, **({"template": template} if template is not None else {})}, platform)
    found: dict[str, Any] = manifests["Deployment"]["spec"]["template"]
    return found


def container(template: dict[str, Any] | None = None, platform: Platform = PLATFORM, **spec: Any) -> dict[str, Any]:
    (found,) = pod(template, platform, **spec)["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment(template: dict[str, Any] | None = None, platform: Platform = PLATFORM, **spec: Any) -> dict[str, Any]:
    entries = container(template, platform, **spec)["env"]
    assert len({entry["name"] for entry in entries}) == len(entries), "server-side apply refuses a name given twice"
    return {entry["name"]: entry for entry in entries}


def test_the_objects_are_called_as_the_queueworker_and_owned_by_it() -> None:
    manifests = render(queueworker(), PLATFORM, "uid-1", 3)
    assert [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests] == [
        ("ServiceAccount", "mail-worker"),
        ("PodDisruptionBudget", "mail"),
        ("Deployment", "mail"),
    ]
    for manifest in manifests:
        assert manifest["metadata"]["namespace"] == "shop"
        assert manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "windrow-operator"
        assert manifest["metadata"]["labels"]["windrow.dev/queueworker"] == "mail"
        assert manifest["metadata"]["ownerReferences"] == [
            {
                "apiVersion": "windrow.dev/v1alpha1",
                "kind": "QueueWorker",
                "name": "mail",
                "uid": "uid-1",
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]


def test_a_named_account_is_used_and_none_is_made() -> None:
    assert "ServiceAccount" not in rendered({"template": {"serviceAccountName": "robot"}})
    assert pod({"serviceAccountName": "robot"})["spec"]["serviceAccountName"] == "robot"
    assert pod()["spec"]["serviceAccountName"] == "mail-worker"


def test_a_pod_monitor_is_made_only_when_asked() -> None:
    assert "PodMonitor" not in rendered()
    monitor = rendered(platform=Platform("windrow:1", "windrow", pod_monitors=True))["PodMonitor"]
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "15s"}]
    assert monitor["spec"]["selector"] == {"matchLabels": {"windrow.dev/queueworker": "mail"}}


def test_a_pod_monitor_says_whose_targets_they_are_and_is_found() -> None:
    """What is scraped carries the installation, and the monitor the labels that a Prometheus looks for beside our own."""
    platform = Platform("windrow:1", "windrow", pod_monitors=True, monitor_labels={"release": "p"}, installation="ns/shop")
    monitor = rendered(platform=platform)["PodMonitor"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "installation", "replacement": "ns/shop"}]
    assert monitor["metadata"]["labels"] == {"release": "p", **rendered()["Deployment"]["metadata"]["labels"]}


def test_every_apply_carries_the_replicas_it_was_told() -> None:
    assert rendered(replicas=0)["Deployment"]["spec"]["replicas"] == 0
    assert rendered({"replicas": 9}, replicas=7)["Deployment"]["spec"]["replicas"] == 7


def test_the_budget_lets_one_worker_go_at_a_time_and_unhealthy_ones_always() -> None:
    assert rendered()["PodDisruptionBudget"]["spec"] == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": {"windrow.dev/queueworker": "mail"}},
    }


def test_pods_are_selected_by_one_label_and_no_template_can_change_it() -> None:
    deployment = rendered({"template": {"labels": {"windrow.dev/queueworker": "other", "team": "post"}}})["Deployment"]["spec"]
    assert deployment["selector"] == {"matchLabels": {"windrow.dev/queueworker": "mail"}}
    labels = deployment["template"]["metadata"]["labels"]
    assert (labels["windrow.dev/queueworker"], labels["team"]) == ("mail", "post")


@pytest.mark.parametrize(
    ("limits", "grace"), [({}, 3640), ({"soft": "1h", "hard": "1h10m"}, 4240), ({"hard": "1500ms"}, 42), ({"soft": "5s"}, 55)]
)
def test_the_grace_is_the_hard_limit_and_40_s_in_whole_seconds(limits: dict[str, str], grace: int) -> None:
    assert pod(timeLimits=limits)["spec"]["terminationGracePeriodSeconds"] == grace


def test_the_worker_is_told_only_what_it_reads_so_nothing_else_replaces_pods() -> None:
    plain = worker_document(queueworker())
    for other in (
        {"paused": True},
        {"replicas": 5},
        {"scaling": {"maxReplicas": 3}},
        {"template": {"labels": {"a": "b"}}},
        {"connection": {"secretRef": {"name": "own"}}},
    ):
        assert worker_document(queueworker(other)) == plain
    for read in (
        {"queue": "post"},
        {"app": "shop.app:app"},
        {"pool": "threads"},
        {"concurrency": 4},
        {"acksLate": False},
        {"timeLimits": {"soft": "1m"}},
        {"rateLimit": "5/s"},
        {"maxRecoveries": 1},
        {"recycle": {"tasks": 10}},
    ):
        assert worker_document(queueworker(read)) != plain


def test_what_the_worker_is_told_is_a_queueworker_of_the_same_values() -> None:
    spec = queueworker({"queue": "post", "timeLimits": {"soft": "5s"}, "recycle": {"memory": "512Mi"}, "rateLimit": "10/m"})
    read = QueueWorker.model_validate(json.loads(worker_document(spec)))
    assert read.name == "mail"
    assert read.spec == spec.spec


def test_the_worker_reads_the_platforms_urls_from_its_secret() -> None:
    env = environment()
    assert env["REDIS_URL"]["valueFrom"] == {"secretKeyRef": {"name": "windrow", "key": "REDIS_URL", "optional": False}}
    assert env["DATABASE_URL"]["valueFrom"] == {"secretKeyRef": {"name": "windrow", "key": "DATABASE_URL", "optional": True}}
    assert "envFrom" not in container()


def test_a_connection_of_its_own_wins_key_by_key_and_must_be_there() -> None:
    given = container({"envFrom": [{"configMapRef": {"name": "flags"}}]}, connection={"secretRef": {"name": "own"}})
    assert given["envFrom"] == [
        {"secretRef": {"name": "windrow"}},
        {"configMapRef": {"name": "flags"}},
        {"secretRef": {"name": "own"}},
    ]
    assert not {"REDIS_URL", "DATABASE_URL"} & {entry["name"] for entry in given["env"]}


def test_a_templates_environment_is_merged_by_name_and_ours_stays_ours() -> None:
    theirs = [
        {"name": "LEVEL", "value": "3"},
        {"name": "DATABASE_URL", "value": "postgresql://theirs"},
        {"name": "REDIS_URL", "value": "redis://elsewhere"},
        {"name": "WINDROW_SPEC", "value": "{}"},
    ]
    env = environment({"env": theirs})
    assert env["LEVEL"]["value"] == "3"
    assert env["DATABASE_URL"] == {"name": "DATABASE_URL", "value": "postgresql://theirs"}
    assert "valueFrom" in env["REDIS_URL"]
    assert env["WINDROW_SPEC"]["value"] == worker_document(queueworker())


def test_a_key_prefix_is_the_platforms_alone() -> None:
    theirs = {"env": [{"name": "WINDROW_KEY_PREFIX", "value": "theirs"}]}
    assert "WINDROW_KEY_PREFIX" not in environment(theirs)
    assert environment(theirs, Platform("windrow:1", "windrow", key_prefix="shop:"))["WINDROW_KEY_PREFIX"]["value"] == "shop:"


def test_workers_log_as_the_operator_does_unless_their_template_says_otherwise() -> None:
    """With the default nothing is written, so that no pod is replaced for it."""
    platform = Platform("windrow:1", "windrow", log_format="json")
    theirs = {"env": [{"name": "WINDROW_LOG_FORMAT", "value": "console"}]}
    assert "WINDROW_LOG_FORMAT" not in environment()
    assert environment({}, platform)["WINDROW_LOG_FORMAT"]["value"] == "json"
    assert environment(theirs, platform)["WINDROW_LOG_FORMAT"]["value"] == "console"


def test_what_a_template_may_not_decide_is_named() -> None:
    spec = queueworker(
        {
            "template": {
                "labels": {"app.kubernetes.io/managed-by": "me", "windrow.dev/queueworker": "mail", "team": "post"},
                "annotations": {DELETION_COST: "5", next(iter(PROTECTION)): "true", "note": "x"},
                "env": [{"name": name} for name in sorted(OURS)] + [{"name": "LEVEL"}],
            }
        }
    )
    assert set_aside(spec) == [
        "labels.app.kubernetes.io/managed-by",
        f"annotations.{DELETION_COST}",
        f"annotations.{next(iter(PROTECTION))}",
        *(f"env.{name}" for name in sorted(OURS)),
    ]
    assert set_aside(queueworker()) == []


def test_annotations_set_pod_by_pod_never_come_from_the_template() -> None:
    assert "annotations" not in pod({"annotations": dict(PROTECTION)})["metadata"]
    assert pod({"annotations": {"note": "x", **PROTECTION}})["metadata"]["annotations"] == {"note": "x"}


def test_pods_keep_to_the_restricted_standard() -> None:
    spec = pod()["spec"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert spec["automountServiceAccountToken"] is False
    assert rendered()["ServiceAccount"]["automountServiceAccountToken"] is False
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    (init,) = pod({"initContainers": [{"name": "fetch", "image": "x"}]})["spec"]["initContainers"]
    assert init["securityContext"]["allowPrivilegeEscalation"] is False
    own = {"name": "fetch", "securityContext": {"privileged": True}}
    assert pod({"initContainers": [own]})["spec"]["initContainers"] == [own]


def test_a_pod_security_context_is_merged_and_the_users_word_counts() -> None:
    merged = pod({"podSecurityContext": {"runAsUser": 1000, "runAsNonRoot": False}})["spec"]["securityContext"]
    assert merged == {"runAsUser": 1000, "runAsNonRoot": False, "seccompProfile": {"type": "RuntimeDefault"}}


def test_tmp_can_be_written_unless_the_template_brings_its_own() -> None:
    assert pod()["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {}}]
    assert container()["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    big = {"name": "tmp", "emptyDir": {"sizeLimit": "5Gi"}}
    assert pod({"volumes": [big]})["spec"]["volumes"] == [big]
    assert container({"volumeMounts": [{"name": "scratch", "mountPath": "/tmp/"}]})["volumeMounts"] == [
        {"name": "scratch", "mountPath": "/tmp/"}
    ]


def test_the_rest_of_a_template_goes_in_as_it_stands() -> None:
    given = {
        "imagePullSecrets": [{"name": "registry"}],
        "priorityClassName": "batch",
        "runtimeClassName": "gvisor",
        "affinity": {"nodeAffinity": {}},
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"pool": "spot"},
    }
    spec = pod(given)["spec"]
    assert {key: spec[key] for key in given} == given
    assert not set(given) & set(pod()["spec"]), "what is left out is not ours to own"
    assert container({"resources": {"limits": {"memory": "1Gi"}}})["resources"] == {"limits": {"memory": "1Gi"}}
    assert "resources" not in container()
    assert container({"image": "shop:7"})["image"] == "shop:7"
    assert container()["image"] == "windrow:1"


def test_a_spread_constraint_without_a_selector_spreads_this_queues_workers() -> None:
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    (ours,) = pod({"topologySpreadConstraints": [constraint]})["spec"]["topologySpreadConstraints"]
    assert ours == {**constraint, "labelSelector": {"matchLabels": {"windrow.dev/queueworker": "mail"}}}
    theirs = {**constraint, "labelSelector": {"matchLabels": {"a": "b"}}}
    assert pod({"topologySpreadConstraints": [theirs]})["spec"]["topologySpreadConstraints"] == [theirs]


def test_probes_ask_for_what_each_is_meant_to_decide() -> None:
    given = container()
    assert given["startupProbe"]["httpGet"] == given["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
    assert given["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    readiness = given["readinessProbe"]
    assert (readiness["periodSeconds"], readiness["failureThreshold"]) == (1, 1), "a drain must be seen at once"
    assert given["livenessProbe"]["terminationGracePeriodSeconds"] == 30, "a hung worker is not waited for an hour"


def test_sigterm_reaches_the_worker_itself_and_no_service_changes_its_settings() -> None:
    assert container()["command"] == ["windrow", "worker"]
    assert pod()["spec"]["enableServiceLinks"] is False


def test_a_rollout_keeps_every_worker_that_serves_until_its_successor_does() -> None:
    assert rendered()["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}


def test_rendering_twice_is_the_same() -> None:
    spec = queueworker({"template": {"nodeSelector": {"a": "b"}, "resources": {"limits": {"cpu": "1"}}}})
    first = render(spec, PLATFORM, "uid-1", 1)
    assert first == render(spec, PLATFORM, "uid-1", 1)


def test_workers_see_the_authority_that_the_platform_names() -> None:
    """`ca.crt` of that Secret is a file of every worker; without a name nothing is mounted."""
    pod = rendered(platform=Platform("windrow:1", "windrow", ca_secret="authority"))["Deployment"]["spec"]["template"]["spec"]
    mount = {"name": "windrow-ca", "mountPath": "/etc/windrow/ca", "readOnly": True}
    assert mount in pod["containers"][0]["volumeMounts"]
    items = [{"key": "ca.crt", "path": "ca.crt"}]
    assert {"name": "windrow-ca", "secret": {"secretName": "authority", "items": items}} in pod["volumes"]
    without = rendered()["Deployment"]["spec"]["template"]["spec"]
    assert "windrow-ca" not in str(without)
