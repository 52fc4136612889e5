"""The operator goes on from what the cluster says: the API server away, overloaded or begun anew, the operator killed.

What may be away is what the operator's way leads through: a proxy of the test's own, so that nobody else is disturbed.
"""

from __future__ import annotations

import json
import random
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import pytest

from tests.chaos.proxy import CUT, PASS, REFUSE, Loop, Proxy
from tests.cluster.api import APPS, CORE, Api, Refused
from tests.cluster.control_plane import Plane
from tests.cluster.operators import Operators
from tests.cluster.publishing import publish
from tests.cluster.setting import QueueWorkerObject
from tests.waiting import wait_until

Make = Callable[..., QueueWorkerObject]
FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1"


@pytest.fixture
def way(plane: Plane, account: Path, operator: Operators) -> Iterator[Proxy]:
    """The operator's way to the API server."""
    loop = Loop()
    proxy = Proxy(loop, int(plane.server.rpartition(":")[2]))
    document = json.loads(account.read_text(encoding="utf-8"))
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    account.write_text(json.dumps(document), encoding="utf-8")
    yield proxy
    proxy.close()
    loop.stop()


def has(made: QueueWorkerObject, replicas: int, seconds: float = 20) -> None:
    """Its Deployment is there with this number."""
    wait_until(lambda: made.replicas() == replicas, seconds, f"{made.name} has {replicas} replicas")


def log(operator: Operators, number: int = 0) -> str:
    return operator.log_of(number).read_text(encoding="utf-8") if operator.log_of(number).exists() else ""


@pytest.mark.parametrize("how", [REFUSE, CUT])
def test_an_api_server_that_is_away_for_a_while_is_waited_for(
    way: Proxy, operator: Operators, queueworker: Make, how: str
) -> None:
    """Refusing or silent, for less than a Lease: the same process goes on, and misses nothing of what happened meanwhile."""
    process = operator.start()
    stays, goes = queueworker("stays"), queueworker("goes")
    for made in (stays, goes):
        has(made, 0)
    way.set(how)
    stays.patch(replicas=2)
    goes.delete()
    new = queueworker("new", scaling={"minReplicas": 1})
    time.sleep(4)
    way.set(PASS)
    has(stays, 2)
    has(new, 1)
    new.patch(replicas=3)
    has(new, 3)
    assert process.poll() is None


def test_an_api_server_that_is_away_for_longer_ends_the_lead_and_the_next_process_goes_on(
    way: Proxy, operator: Operators, queueworker: Make
) -> None:
    """Whoever can't renew the Lease must believe that another leads; one that is started meanwhile waits for the API server."""
    process = operator.start()
    made = queueworker("mail", scaling={"minReplicas": 2})
    has(made, 2)
    way.set(CUT)
    assert process.wait(20) == 1
    assert "the lease is lost" in log(operator)
    second = operator.start()
    wait_until(lambda: "the lease could not be written" in log(operator, 1), 30, "the second one is not answered")
    made.patch(replicas=4)
    assert second.poll() is None
    way.set(PASS)
    has(made, 4, 30)


@contextmanager
def overloaded(plane: Plane, account: Path, namespace: str) -> Iterator[None]:
    """The API server has one place for all that the operator says of Deployments, and a request that never ends has it."""
    name = f"busy-{namespace}"
    user = {"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": "windrow-operator"}}
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"], "namespaces": ["*"]}
    limits = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0}
    level = {"type": "Limited", "limited": {**limits, "limitResponse": {"type": "Reject"}}}
    flow = {
        "matchingPrecedence": 2,
        "priorityLevelConfiguration": {"name": name},
        "rules": [{"subjects": [user], "resourceRules": [rule]}],
    }
    plane.api.post(f"{FLOWS}/prioritylevelconfigurations", {"metadata": {"name": name}, "spec": level})
    plane.api.post(f"{FLOWS}/flowschemas", {"metadata": {"name": name}, "spec": flow})
    token = json.loads(account.read_text(encoding="utf-8"))["users"][0]["user"]["token"]
    trust = ssl.create_default_context(cafile=str(plane.authority))
    endless = HTTPSConnection(plane.server.rpartition("/")[2], context=trust)
    try:
        time.sleep(1)  # until the flow is heeded
        endless.putrequest("PATCH", f"{APPS}/namespaces/{namespace}/deployments/nothing?fieldManager=test")
        for header, value in {
            "Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json", "Content-Length": "1000",
        }.items():  # fmt: skip
            endless.putheader(header, value)
        endless.endheaders(b"{")
        time.sleep(0.5)
        yield
    finally:
        endless.close()
        plane.api.delete(f"{FLOWS}/flowschemas/{name}")
        plane.api.delete(f"{FLOWS}/prioritylevelconfigurations/{name}")


def test_an_operator_that_is_refused_for_overload_asks_again_later(
    plane: Plane, account: Path, operator: Operators, queueworker: Make, namespace: str
) -> None:
    """The API server itself says 429 to all that the operator writes of Deployments; its Lease and its watches go on."""
    process = operator.start()
    made = queueworker("mail")
    has(made, 0)
    with overloaded(plane, account, namespace):
        made.patch(concurrency=5, replicas=3)
        new = queueworker("new", scaling={"minReplicas": 1})
        wait_until(lambda: "oo many requests" in log(operator), 30, "it was refused")
        assert made.replicas() == 0
        assert new.deployment() is None
        condition = new.condition("Accepted")
        assert condition is None or condition["status"] != "False", "what will pass is no fault of the spec"
    has(made, 3, 30)
    has(new, 1, 30)
    assert process.poll() is None


def test_a_watch_that_expired_begins_anew_and_what_went_meanwhile_is_gone(
    way: Proxy, plane: Plane, api: Api, operator: Operators, queueworker: Make, namespace: str, redis_url: str
) -> None:
    """The API server was killed and begun anew, so it knows no change from before; things were deleted and made meanwhile."""
    operator.start()
    stays, goes, again = queueworker("stays"), queueworker("goes"), queueworker("again")
    for made in (stays, goes, again):
        has(made, 0)
    way.set(REFUSE)
    plane.restart("kube-apiserver")
    wait_until(lambda: _answers(api), 30, "the API server answers again", pause=0.1)
    goes.delete()
    again.delete()
    api.delete(f"{APPS}/namespaces/{namespace}/deployments/again")  # the garbage collector begins anew too, and takes long
    again = queueworker("again", scaling={"minReplicas": 2})
    stays.patch(replicas=1)
    way.set(PASS)

    def served() -> bool:
        if operator.processes[-1].poll() is not None:  # it took longer than the Lease holds
            operator.start()
        return stays.replicas() == 1 and again.replicas() == 2

    wait_until(served, 60, "what is there has its numbers")
    time.sleep(3)  # what went is looked for soon after the new list
    here = [len(log(operator, number)) for number in range(len(operator.processes))]
    publish(redis_url, "goes", 20, seconds=1)
    publish(redis_url, "stays", 20, seconds=1)
    stays.patch(replicas=None)

    def since() -> str:
        return "".join(log(operator, number)[begun:] for number, begun in enumerate(here))

    wait_until(lambda: f"{namespace}/stays reason=" in since(), 10, "what is there is scaled")
    assert f"{namespace}/goes" not in since(), "what is gone is known no more"


def test_an_operator_that_is_killed_at_any_time_leaves_nothing_half_done(
    api: Api, operator: Operators, queueworker: Make, namespace: str
) -> None:
    """The next one goes on from what is there: each QueueWorker ends with its objects, each with its number, nothing twice."""
    dice = random.Random(7)
    workers = [queueworker(f"w{number:02}", scaling={"minReplicas": number % 3}) for number in range(20)]
    for turn in range(6):
        process = operator.start()
        wait_until(lambda turn=turn: "watching" in log(operator, turn), 20, "it watches")  # type: ignore[misc]
        for worker in dice.sample(workers, 5):
            worker.patch(concurrency=dice.randint(1, 20))
        time.sleep(dice.uniform(0.0, 0.6))
        operator.kill(process)
        api.delete(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/windrow-operator")  # no 10 s for each turn
    operator.start()

    def right() -> bool:
        found = {one["metadata"]["name"]: one for one in api.items(f"{APPS}/namespaces/{namespace}/deployments")}
        return set(found) == {worker.name for worker in workers} and all(
            found[worker.name]["spec"]["replicas"] == number % 3
            and f'"concurrency":{worker.get()["spec"]["concurrency"]}' in _spec_of(found[worker.name])
            for number, worker in enumerate(workers)
        )

    wait_until(right, 40, "each Deployment is as its QueueWorker says", pause=0.3)
    accounts = {one["metadata"]["name"] for one in api.items(f"{CORE}/namespaces/{namespace}/serviceaccounts")}
    assert {f"{worker.name}-worker" for worker in workers} <= accounts
    assert len(api.items(f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets")) == len(workers)


def _spec_of(deployment: dict[str, object]) -> str:
    """What its pods learn of their QueueWorker, without spaces."""
    return json.dumps(deployment).replace('\\"', '"').replace(" ", "")


def _answers(api: Api) -> bool:
    try:
        return api.text("/readyz") == "ok"
    except (OSError, HTTPException, Refused):
        return False
