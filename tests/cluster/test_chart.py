"""The charts by the real helm, 3 and 4: rendered, checked by those who review charts, and accepted by a real API server."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.cluster import parts
from deploy.cluster.parts import Source
from tests.cluster import checkov, setting
from tests.cluster.api import Api
from tests.cluster.control_plane import Plane, run_kubectl, write_kubeconfig
from tests.cluster.parts import CHART_TOOLS
from tests.workers import ROOT

CHART, CRDS = ROOT / "charts/windrow", ROOT / "charts/windrow-crds"
SETS = sorted((CHART / "ci").glob("*-values.yaml"))
EXAMPLES = sorted((ROOT / "deploy/examples").glob("*/values.yaml"))
HELMS = (parts.HELM3, parts.HELM4)
KUBERNETES = "1.34.4"
ANSWERED = {
    "container-image-pull-policy": "a release's tag never moves; pods start while a registry is away",
    "pod-networkpolicy": "switched off on purpose in one set; each pod has one in the others",
    "container-security-context-user-group-id": "any uid works, as OpenShift wants; 999 is that of the official images",
    "container-ephemeral-storage-request-and-limit": "roots are read-only, and /tmp holds next to nothing",
    "deployment-has-host-podantiaffinity": "topologySpreadConstraints spread the pods, and do no harm on one node",
    "statefulset-has-servicename": "the Service is there; it has a cluster address, which clients want",
    "container-resources": "a limit of CPU would throttle what is asked for most in a burst",
    "deployment-replicas": "one replica on purpose in one set",
    "networkpolicy-targets-pod": "the workers' pods are the operator's to make",
}
"""kube-score's checks that find something, each with our answer."""
ANSWERED_TO_CHECKOV = {
    "CKV_K8S_8": "liveness of the test's pod: it runs once and ends",
    "CKV_K8S_9": "readiness of the test's pod: it runs once and ends",
    "CKV_K8S_11": "a limit of CPU would throttle what is asked for most in a burst",
    "CKV_K8S_15": "a release's tag never moves; pods start while a registry is away",
    "CKV_K8S_35": "REDIS_URL and DATABASE_URL are what every Celery worker reads from its environment",
    "CKV_K8S_38": "the operator needs its token; no other pod has one",
    "CKV_K8S_40": "any uid works, as OpenShift wants; 999 is that of the official images",
    "CKV_K8S_43": "image.digest is there for who wants it",
}
"""checkov's checks that fail, each with our answer."""

if missing := [tool.name for tool in CHART_TOOLS if not tool.program.exists()] + ["checkov"] * (not checkov.program().exists()):
    pytest.skip(
        f"{', '.join(missing)} not built: the charts are NOT tested; `make test-cluster` builds them", allow_module_level=True
    )


def helm(
    source: Source, *arguments: str, given: str | None = None, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a helm."""
    done = subprocess.run(
        [str(source.program), *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def rendered(values: Path, source: Source = parts.HELM4, *more: str) -> list[dict[str, Any]]:
    """The objects of a set of values."""
    text = helm(
        source, "template", "windrow", str(CHART), "-n", "windrow", "-f", str(values), "--kube-version", KUBERNETES, *more
    ).stdout
    return [one for one in yaml.safe_load_all(text) if one]


@pytest.mark.parametrize("source", HELMS, ids=lambda source: source.name)
@pytest.mark.parametrize("chart", [CHART, CRDS], ids=lambda chart: chart.name)
def test_lint_finds_nothing(source: Source, chart: Path) -> None:
    """`helm lint --strict`, without and with each set of values."""
    sets = [part for values in (SETS if chart is CHART else []) for part in ("-f", str(values))][:2]
    helm(source, "lint", "--strict", str(chart))
    helm(source, "lint", "--strict", str(chart), *sets)


@pytest.mark.parametrize("values", [*SETS, *EXAMPLES], ids=lambda values: f"{values.parent.name}-{values.stem}")
def test_both_helms_render_the_same(values: Path) -> None:
    """What is applied does not depend on helm's version, passwords apart."""
    three, four = (_without_passwords(rendered(values, source)) for source in HELMS)
    assert three == four


def _without_passwords(objects: list[dict[str, Any]]) -> list[str]:
    return sorted(re.sub(r"[A-Za-z0-9]{32}", "…", json.dumps(one, sort_keys=True)) for one in objects)


@pytest.mark.parametrize("source", HELMS, ids=lambda source: source.name)
def test_rules_and_dashboards_arrive_as_they_are(source: Source) -> None:
    """No brace of theirs is helm's: what Prometheus and Grafana get is what the files say, apart from where runbooks are."""
    folder = CHART / "files/monitoring"
    objects = rendered(CHART / "ci/monitoring-values.yaml", source, "--set", "monitoring.runbookUrl=")
    (rules,) = [one for one in objects if one["kind"] == "PrometheusRule"]
    assert rules["spec"] == yaml.safe_load((folder / "rules.yaml").read_text(encoding="utf-8"))
    maps = [one for one in objects if one["kind"] == "ConfigMap" and "grafana_dashboard" in one["metadata"]["labels"]]
    there = {path.name: path.read_text(encoding="utf-8") for path in (folder / "dashboards").glob("*.json")}
    assert {name: text for one in maps for name, text in one["data"].items()} == there


@pytest.mark.parametrize("values", SETS, ids=lambda values: values.stem)
def test_every_pod_is_restricted(values: Path) -> None:
    """Read-only root, no privileges, no needless token, seccomp, requests and limits; no secret in an argument."""
    for one in rendered(values):
        pod = one["spec"] if one["kind"] == "Pod" else one.get("spec", {}).get("template", {}).get("spec")
        if one["kind"] == "QueueWorker" or pod is None:
            continue
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert (pod.get("automountServiceAccountToken") is False) or one["metadata"]["name"].endswith("operator")
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]
            said = json.dumps(
                [container.get("args"), container.get("command"), [e.get("value") for e in container.get("env", ())]]
            )
            assert not re.search(r"(?<![A-Za-z0-9])[A-Za-z0-9]{32}(?![A-Za-z0-9])|://[^\"]*:[^\"]*@", said)


def test_the_units_of_the_chart() -> None:
    """helm-unittest's suites."""
    done = subprocess.run([str(parts.HELM_UNITTEST.program), str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def scored(values: Path) -> list[dict[str, Any]]:
    """The objects that kube-score knows."""
    return [one for one in rendered(values) if one["apiVersion"].split("/")[0] not in ("windrow.dev", "monitoring.coreos.com")]


def findings(file: Path) -> set[tuple[str, str, str]]:
    """What kube-score finds in a file: check, object, sentence."""
    command = [str(parts.KUBE_SCORE.program), "score", "--output-format", "json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        (check["check"]["id"], one["object_name"], comment["summary"])
        for one in json.loads(done.stdout)
        for check in one["checks"]
        if check["grade"] < 7 and not check["skipped"]
        for comment in check["comments"] or [{"summary": ""}]
    }


@pytest.mark.parametrize("values", SETS, ids=lambda values: values.stem)
def test_kube_score_finds_nothing_that_is_not_answered(values: Path, tmp_path: Path) -> None:
    """Each finding has an answer beside its name."""
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(scored(values)))
    open_ = {one for one in findings(file) if one[0] not in ANSWERED}
    assert not open_, open_


def test_checkov_finds_nothing_that_is_not_answered(tmp_path: Path) -> None:
    """Each finding has an answer, and each answer a finding, over all sets of values."""
    for values in SETS:
        (tmp_path / values.name).write_text(yaml.safe_dump_all(rendered(values)))
    command = [
        str(checkov.program()),
        "-d",
        str(tmp_path),
        "--framework",
        "kubernetes",
        "--compact",
        "--quiet",
        "-o",
        "json",
        "--skip-download",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    results = json.loads(done.stdout)["results"]
    found = {one["check_id"]: f"{one['check_name']} ({one['resource']})" for one in results["failed_checks"]}
    assert json.loads(done.stdout)["summary"]["parsing_errors"] == 0
    assert set(found) == set(ANSWERED_TO_CHECKOV), found


@pytest.mark.parametrize("values", SETS, ids=lambda values: values.stem)
def test_the_api_server_accepts_every_object(values: Path, plane: Plane, api: Api, crd: None) -> None:
    """`--dry-run=server` with strict validation, for every set of values; monitors, whose definition is not there, apart."""
    namespace = setting.new_namespace(api)
    others = [setting.new_namespace(api) for _ in range(2)]
    try:
        objects = [one for one in rendered(values) if not one["apiVersion"].startswith("monitoring.")]
        places = {"windrow": namespace, "team-a": others[0], "team-b": others[1]}
        for one in objects:
            if "namespace" in one["metadata"]:
                one["metadata"]["namespace"] = places[one["metadata"]["namespace"]]
            one["metadata"].pop("annotations", None) if one["kind"] == "Pod" else None
        text = yaml.safe_dump_all(objects)
        run_kubectl(plane, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", given=text)
    finally:
        for one in (namespace, *others):
            setting.drop_namespace(api, one)


@pytest.fixture
def admin(plane: Plane, api: Api, namespace: str, crd: None, tmp_path: Path) -> Path:
    """A kubeconfig of an admin of one namespace and nothing else: the usual ClusterRole, and QueueWorkers there."""
    rules = [{"apiGroups": ["windrow.dev"], "resources": ["queueworkers", "queueworkers/status"], "verbs": ["*"]}]
    # Whoever grants a right must have it; the usual role has neither of these.
    rules += [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ]
    subject = {"kind": "ServiceAccount", "name": "team", "namespace": namespace}
    made: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "team", "namespace": namespace}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "queues", "namespace": namespace},
            "rules": rules,
        },
    ]
    for name, kind, role in (("team-admin", "ClusterRole", "admin"), ("team-queues", "Role", "queues")):
        made.append({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}, "subjects": [subject],
        })  # fmt: skip
    run_kubectl(
        plane, "apply", "--server-side", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    )
    token = run_kubectl(plane, "create", "token", "team", "-n", namespace).strip()
    return write_kubeconfig(tmp_path / "team.kubeconfig", plane.server, plane.authority, token, namespace)


@pytest.mark.parametrize("source", HELMS, ids=lambda source: source.name)
def test_a_namespaced_install_needs_no_rights_over_the_cluster(
    source: Source, admin: Path, namespace: str, tmp_path: Path
) -> None:
    """With the definition there, an admin of the namespace installs, upgrades and uninstalls."""
    rights = {
        "KUBECONFIG": str(admin),
        "HELM_CACHE_HOME": str(tmp_path),
        "HELM_CONFIG_HOME": str(tmp_path),
        "HELM_DATA_HOME": str(tmp_path),
    }
    helm(source, "install", "windrow", str(CHART), "-n", namespace, "--skip-crds", **rights)
    helm(source, "upgrade", "windrow", str(CHART), "-n", namespace, "--skip-crds", "--set", "server.replicas=1", **rights)
    helm(source, "uninstall", "windrow", "-n", namespace, **rights)


def test_an_upgrade_keeps_the_passwords(plane: Plane, namespace: str, crd: None, tmp_path: Path) -> None:
    """The evaluation's Redis and PostgreSQL have the passwords of the first install for good, after an uninstall too."""
    rights = {
        "KUBECONFIG": str(plane.kubeconfig),
        "HELM_CACHE_HOME": str(tmp_path),
        "HELM_CONFIG_HOME": str(tmp_path),
        "HELM_DATA_HOME": str(tmp_path),
    }

    def passwords() -> tuple[str, str]:
        found = [
            json.loads(run_kubectl(plane, "get", "secret", name, "-n", namespace, "-o", "json"))["data"]
            for name in ("windrow", "windrow-evaluation")
        ]
        return found[0]["DATABASE_URL"], found[1]["postgresql-password"]

    helm(parts.HELM4, "install", "windrow", str(CHART), "-n", namespace, **rights)
    first = passwords()
    helm(parts.HELM4, "upgrade", "windrow", str(CHART), "-n", namespace, "--set", "server.replicas=1", **rights)
    assert passwords() == first
    helm(parts.HELM4, "uninstall", "windrow", "-n", namespace, **rights)
    helm(parts.HELM4, "install", "windrow", str(CHART), "-n", namespace, **rights)
    assert passwords() == first


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("queues.default.timeLimits.soft=soon", "at '/queues/default/timeLimits/soft': 'soon' does not match pattern"),
        ("queues.default.replicas=3", "at '/queues/default': additional properties 'replicas' not allowed"),
        ("queues.default.concurency=3", "at '/queues/default': additional properties 'concurency' not allowed"),
        ("queues.default.concurrency=0", "at '/queues/default/concurrency': minimum: got 0, want 1"),
        ("queues.default.pool=gevent", "at '/queues/default/pool': value must be one of 'prefork', 'asyncio', 'threads'"),
        ("server.port=80", "at '/server/port': minimum: got 80, want 1,024"),
        ("redis.url=http://redis", "at '/redis/url': 'http://redis' does not match pattern"),
        ("rediss.url=x", "additional properties 'rediss' not allowed"),
        ("queues.No=1", "additional properties 'No' not allowed"),
    ],
)
@pytest.mark.parametrize("source", HELMS, ids=lambda source: source.name)
def test_a_wrong_value_is_one_readable_sentence(source: Source, given: str, sentence: str) -> None:
    """helm says where and what before anything is made."""
    done = helm(source, "template", "windrow", str(CHART), "--set", given, check=False)
    assert done.returncode != 0
    assert sentence in done.stderr.replace("got 80, want 1024", "got 80, want 1,024")


def test_every_answer_is_to_a_finding(tmp_path: Path) -> None:
    """An answer to nothing would hide what comes later."""
    found = set()
    for values in SETS:
        file = tmp_path / values.name
        file.write_text(yaml.safe_dump_all(scored(values)))
        found |= {check for check, _, _ in findings(file)}
    assert set(ANSWERED) <= found, set(ANSWERED) - found
