"""The operator's rights: no wildcard, no delete, no Secret that is not named, each with a reason."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import yaml

from windrow_operator.rbac import manifests, rules


def of_kind(made: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in made if manifest["kind"] == kind]


def test_no_rule_is_wider_than_its_reason() -> None:
    for rule in rules(["redis"], pod_monitors=True):
        assert rule.reason.startswith("To "), rule
        assert "*" not in (rule.group, rule.resource, *rule.verbs)
        assert not {"delete", "deletecollection", "escalate", "bind", "impersonate"} & set(rule.verbs)


def test_secrets_are_read_by_name_alone_and_only_when_a_spec_names_some() -> None:
    assert not [rule for rule in rules() if rule.resource == "secrets"]
    (secrets,) = (rule for rule in rules(["redis", "own"]) if rule.resource == "secrets")
    assert (secrets.verbs, secrets.named) == (("get",), ("own", "redis"))


def test_a_queueworker_itself_is_never_written() -> None:
    (queueworkers,) = (rule for rule in rules() if rule.resource == "queueworkers")
    assert set(queueworkers.verbs) <= {"get", "list", "watch"}


def test_pod_monitors_are_asked_for() -> None:
    assert not [rule for rule in rules() if rule.resource == "podmonitors"]
    assert [rule for rule in rules(pod_monitors=True) if rule.resource == "podmonitors"]


def test_watching_some_namespaces_takes_no_cluster_wide_right() -> None:
    made = manifests("windrow", ["shop", "post"])
    assert not of_kind(made, "ClusterRole")
    lease, *others = of_kind(made, "Role")
    assert {resource for rule in lease["rules"] for resource in rule["resources"]} == {"leases"}
    for role in others:
        assert "leases" not in {resource for rule in role["rules"] for resource in rule["resources"]}
    assert [(role["metadata"]["namespace"], role["metadata"]["name"]) for role in of_kind(made, "Role")] == [
        ("windrow", "windrow-operator-lease"),
        ("post", "windrow-operator"),
        ("shop", "windrow-operator"),
    ]
    for binding in of_kind(made, "RoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "windrow-operator", "namespace": "windrow"}]


def test_watching_all_namespaces_reads_secrets_only_where_they_are_named() -> None:
    made = manifests("windrow", None, secret_names={"shop": ["redis"]})
    (cluster,) = of_kind(made, "ClusterRole")
    assert "secrets" not in {resource for rule in cluster["rules"] for resource in rule["resources"]}
    assert "leases" not in {resource for rule in cluster["rules"] for resource in rule["resources"]}
    (shop,) = (role for role in of_kind(made, "Role") if role["metadata"]["namespace"] == "shop")
    assert shop["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["redis"]}]


def test_the_command_prints_what_is_applied() -> None:
    command = [sys.executable, "-m", "windrow_operator.rbac", "--namespace", "ops", "--watch", "shop", "--secret", "shop/redis"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert list(yaml.safe_load_all(printed)) == manifests("ops", ["shop"], secret_names={"shop": ["redis"]})


@pytest.mark.parametrize("secret", ["redis", "/redis", "shop/"])
def test_a_secret_without_its_namespace_is_refused_in_a_sentence(secret: str) -> None:
    command = [sys.executable, "-m", "windrow_operator.rbac", "--secret", secret]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert f"--secret must be NAMESPACE/NAME, such as shop/redis, not {secret!r}" in refused.stderr
