"""The operator's account may do what its rules say, by the API server's own word, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import setting
from tests.cluster.api import APPS, CORE, QUEUEWORKERS, Api, Refused
from tests.cluster.control_plane import Plane
from windrow_operator.rbac import rules

Right = tuple[str, str, str, str]
"""Group, resource, verb, name (`*` for any)."""


@pytest.fixture
def mine(plane: Plane, namespace: str, crd: None, tmp_path: Path) -> Iterator[Api]:
    """The API server as the operator's account has it."""
    kubeconfig = tmp_path / "operator.kubeconfig"
    setting.operator_account(plane, namespace, kubeconfig, watched=(namespace,), secret_names=("redis",))
    api = Api.of(kubeconfig)
    yield api
    api.close()


def rights(api: Api, namespace: str) -> set[Right]:
    """All that an account may do to objects in a namespace, but for asking about itself, which everybody may."""
    asked = {"kind": "SelfSubjectRulesReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"namespace": namespace}}
    answer = api.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", asked)["status"]
    assert not answer["incomplete"], answer
    return {
        (group, resource, verb, name)
        for rule in answer["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", ["*"])
        if group not in ("authorization.k8s.io", "authentication.k8s.io")
    }


def test_the_account_has_the_rules_rights_and_no_other(namespace: str, mine: Api) -> None:
    ours = {
        (rule.group, rule.resource, verb, name)
        for rule in rules(["redis"])
        for verb in rule.verbs
        for name in (rule.named or ("*",))
    }
    assert rights(mine, namespace) == ours


def test_no_right_reaches_another_namespace(api: Api, mine: Api) -> None:
    elsewhere = setting.new_namespace(api)
    try:
        assert rights(mine, elsewhere) == set()
    finally:
        setting.drop_namespace(api, elsewhere)


def test_what_a_stolen_token_could_wish_for_is_refused(api: Api, namespace: str, mine: Api) -> None:
    setting.platform_secret(api, namespace, "redis://platform")
    setting.platform_secret(api, namespace, "redis://named", name="redis")
    stolen = mine
    assert stolen.get(f"{CORE}/namespaces/{namespace}/secrets/redis")["metadata"]["name"] == "redis"
    for wish in (
        lambda: stolen.get(f"{CORE}/namespaces/{namespace}/secrets/windrow"),
        lambda: stolen.items(f"{CORE}/namespaces/{namespace}/secrets"),
        lambda: stolen.patch(f"{QUEUEWORKERS}/namespaces/{namespace}/queueworkers/mail", {"spec": {}}),
        lambda: stolen.delete(f"{APPS}/namespaces/{namespace}/deployments/mail"),
        lambda: stolen.delete(f"{CORE}/namespaces/{namespace}/pods/mail-1"),
        lambda: stolen.post(f"{CORE}/namespaces/{namespace}/pods", {"metadata": {"name": "mine"}}),
        lambda: stolen.post(f"{CORE}/namespaces/{namespace}/serviceaccounts/{setting.ACCOUNT}/token", {}),
        lambda: stolen.items(f"{CORE}/namespaces"),
        lambda: stolen.items(f"{CORE}/nodes"),
    ):
        with pytest.raises(Refused) as refused:
            wish()
        assert refused.value.code == 403
