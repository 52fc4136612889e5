"""The operator's account may do what its rules say, by the API server's own word, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import control_plane, setting
from tests.cluster.agent.playing import Agent
from tests.cluster.api import APPS, CORE, QUEUEWORKERS, Api, Refused
from tests.cluster.control_plane import Plane
from tests.cluster.operators import Operators
from tests.cluster.parts import find
from tests.cluster.publishing import publish
from tests.waiting import wait_until
from windrow_operator.rbac import manifests, rules

EVERYTHING = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts:ops-some", "system:serviceaccounts:ops-all"]
"""
"""Whatever the operator asks for, answered or refused."""

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


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """An API server of these tests' own that writes down all that an operator asks for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_plane, "AUDIT", EVERYTHING)
        with control_plane.running(find(), tmp_path_factory.mktemp("plane")) as plane:
            yield plane


@pytest.mark.slow
@pytest.mark.parametrize("watching", ["some", "all"])
def test_every_right_is_used_and_none_is_missing(audited: Plane, redis_url: str, tmp_path: Path, watching: str) -> None:
    """An operator's day: a queue that works, one with a Redis of its own, one that can't be applied."""
    api, ops, shop = audited.api, f"ops-{watching}", f"shop-{watching}"
    setting.install_crd(api)
    for namespace in (ops, shop):
        api.post(f"{CORE}/namespaces", {"metadata": {"name": namespace}})
        wait_until(lambda: api.find(f"{CORE}/namespaces/{namespace}/serviceaccounts/default"), 20, "the namespace is there")  # noqa: B023
    kubeconfig = tmp_path / "operator.kubeconfig"
    for manifest in manifests(ops, [shop] if watching == "some" else None, secret_names={shop: ["own"]}):
        control_plane.run_kubectl(audited, "apply", "--server-side", "-f", "-", given=json.dumps(manifest))
    token = control_plane.run_kubectl(audited, "create", "token", setting.ACCOUNT, "-n", ops).strip()
    control_plane.write_kubeconfig(kubeconfig, audited.server, audited.authority, token, ops)
    for secret in ("windrow", "own"):
        setting.platform_secret(api, shop, redis_url, secret)

    operators = Operators(tmp_path / "operator", kubeconfig, ops, redis_url)
    agent = Agent(tmp_path / "agent", audited.kubeconfig, shop, redis_url)
    try:
        agent.start()
        operators.start(env={"WINDROW_WATCH_NAMESPACES": shop if watching == "some" else ""})
        works = setting.make_queueworker(api, shop, "works", {"timeLimits": {"hard": "1h"}})
        own = setting.make_queueworker(api, shop, "own", {"connection": {"secretRef": {"name": "own"}}})
        bad = setting.make_queueworker(api, shop, "bad", {"template": {"tolerations": [{"operator": "Sometimes"}]}})
        publish(redis_url, "works", 1, seconds=30)
        wait_until(lambda: any("annotations" in pod["metadata"] for pod in works.pods()), 30, "the busy pod is protected")
        wait_until(lambda: (own.condition("BrokerReadable") or {}).get("status") == "True", 20, "the other Redis is read")
        wait_until(bad.events, 20, "what is wrong is told")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{operators.log()}") from error
    finally:
        operators.stop()
        agent.stop()
        for namespace in (shop, ops):
            setting.drop_namespace(api, namespace)

    asked, refused = set(), []
    for line in audited.audit.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        about = event.get("objectRef")
        if event["user"]["username"] != f"system:serviceaccount:{ops}:{setting.ACCOUNT}" or about is None:
            continue
        if about.get("apiGroup") == "authorization.k8s.io":
            continue
        if event["responseStatus"]["code"] == 403:
            refused.append((event["verb"], event["requestURI"]))
        resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
        asked.add((about.get("apiGroup", ""), resource, event["verb"]))
    assert not refused, "the operator was refused what it needs"
    granted = {(rule.group, rule.resource, verb) for rule in rules(["own"]) for verb in rule.verbs}
    # An apply is a patch, also where it makes the object: then the right to create is asked for beside it.
    made_by_apply = {(rule.group, rule.resource, "create") for rule in rules() if {"create", "patch"} <= set(rule.verbs)}
    assert granted - made_by_apply == asked


def test_an_apply_that_makes_an_object_needs_the_right_to_create(
    api: Api, plane: Plane, namespace: str, crd: None, tmp_path: Path
) -> None:
    kubeconfig = setting.operator_account(plane, namespace, tmp_path / "kubeconfig", watched=(namespace,))
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{setting.ACCOUNT}"
    role = api.get(path)
    for rule in role["rules"]:
        rule["verbs"] = [verb for verb in rule["verbs"] if verb != "create"] or ["get"]
    api.put(path, role)
    mine = Api.of(kubeconfig)
    try:
        with pytest.raises(Refused, match='cannot create resource "serviceaccounts"'):
            mine.patch(
                f"{CORE}/namespaces/{namespace}/serviceaccounts/mail-worker",
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "mail-worker"}},
                "apply",
                fieldManager="windrow-operator",
            )
    finally:
        mine.close()
