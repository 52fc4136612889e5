"""What isn't allowed, tried from inside: by the network and with the operator's own token."""

from __future__ import annotations

from typing import Any

from tests.e2e.row import Outcome
from tests.e2e.stage import EVIDENCE, Stage

TRY = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=4).close()
    print("open")
except OSError as error:
    print("shut", error)
"""
ASK = """
import json, ssl, urllib.error, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
trust = ssl.create_default_context(cafile=folder + "ca.crt")
url = "https://kubernetes.default.svc/api/v1/namespaces/kube-system/pods"
asked = urllib.request.Request(url, headers={"Authorization": "Bearer " + open(folder + "token").read()})
try:
    urllib.request.urlopen(asked, context=trust, timeout=10)
    print(200)
except urllib.error.HTTPError as error:
    print(error.code)
"""
FORBIDDEN = (
    ("list", "secrets", ""), ("get", "secrets", "windrow"), ("delete", "pods", ""), ("delete", "deployments.apps", ""),
    ("update", "queueworkers.windrow.dev", ""), ("create", "pods", ""), ("list", "nodes", ""), ("list", "namespaces", ""),
    ("create", "rolebindings.rbac.authorization.k8s.io", ""),
)  # fmt: skip
"""What the operator's account must not be able to do in its own namespace, nor elsewhere."""


def inside(stage: Stage) -> Outcome:
    """Redis, PostgreSQL and servers are reached by whom they serve; the operator's token does what its rules say, no more."""
    outcome = Outcome()
    enforced = stage.state["enforced"] = stage.cluster.enforces_network_policies
    outcome.notes["network_policies"] = "enforced" if enforced else "NOT enforced by this cluster's network: not tried"
    stranger = _pod(stage, "stranger", {})
    worker = next(pod["metadata"]["name"] for pod in stage.pods("windrow.dev/queueworker") if _is_ready(pod))
    ports = {"windrow-redis": 6379, "windrow-postgresql": 5432, "windrow-server": stage.state.get("port", 8080)}
    allowed = [
        ("producer", "windrow-redis"),
        (worker, "windrow-redis"),
        (worker, "windrow-postgresql"),
        (worker, "windrow-server"),
    ]
    for pod, host in allowed:
        outcome.check(_reached(stage, pod, host, ports[host]), f"{pod} must reach {host}, and does not")
    if enforced:
        refused = [("stranger", "windrow-redis"), ("stranger", "windrow-postgresql"), ("producer", "windrow-postgresql")]
        for pod, host in refused:
            outcome.check(not _reached(stage, pod, host, ports[host]), f"{pod} must not reach {host}, and does")
        outcome.check(
            not _reached(stage, "evidence", f"windrow-redis.{stage.namespace}", 6379, namespace=EVIDENCE),
            "a pod of another namespace must not reach Redis",
        )
        strangers = stage.get("pod", "evidence", namespace=EVIDENCE)["status"]["podIP"]
        outcome.check(_reached(stage, worker, strangers, 9000), "workers may reach anything, and this one does not")
        for pod in ("deploy/windrow-server", "deploy/windrow-operator"):
            outcome.check(not _reached(stage, pod, strangers, 9000), f"{pod} must not reach another namespace's pod, and does")
        ask = f"redis-cli -h {strangers} -p 9000 ping 2>&1 || true"
        said = stage.kubectl("exec", "windrow-redis-0", "--", "sh", "-c", ask)
        outcome.check("Could not connect" in said, f"Redis must reach nobody, and does: {said!r}")
        outcome.notes["refused_connections"] = len(refused) + 4
    account = f"system:serviceaccount:{stage.namespace}:windrow-operator"
    for verb, what, name in FORBIDDEN:
        for namespace in (stage.namespace, "kube-system"):
            words = [verb, f"{what}/{name}" if name else what]
            said = stage.kubectl("auth", "can-i", *words, "--as", account, namespace=namespace, check=False).strip()
            outcome.check(
                said.splitlines()[-1:] == ["no"], f"the operator must not be able to {verb} {what} in {namespace}, and can"
            )
    outcome.check(_token_is_refused(stage), "with its own token the operator must be refused another namespace's pods")
    for pod in stage.pods("windrow.dev/queueworker")[:1] + stage.component("server")[:1] + stage.component("redis")[:1]:
        mounted = [mount["mountPath"] for one in pod["spec"]["containers"] for mount in one["volumeMounts"]]
        outcome.check(
            "/var/run/secrets/kubernetes.io/serviceaccount" not in mounted, f"{pod['metadata']['name']} must have no token"
        )
    written = stage.kubectl("exec", worker, "--", "sh", "-c", "touch /app/x 2>&1 && echo written || true")
    outcome.check("Read-only" in written, f"a worker's root must be read-only: {written!r}")
    stage.kubectl("delete", "pod", stranger, "--grace-period=0", "--force")
    return outcome


def _pod(stage: Stage, name: str, labels: dict[str, str]) -> str:
    """A pod that nobody has a reason to let in."""
    hardened = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": name, "image": stage.state["app:1"], "command": ["sleep", "100000"], "securityContext": hardened}
    spec = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0, "containers": [container],
    }  # fmt: skip
    stage.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": stage.namespace, "labels": labels},
            "spec": spec,
        }
    )
    stage.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    return name


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def _reached(stage: Stage, pod: str, host: str, port: int, namespace: str | None = None) -> bool:
    return "open" in stage.kubectl("exec", pod, "--", "python", "-c", TRY, host, str(port), namespace=namespace, check=False)


def _token_is_refused(stage: Stage) -> bool:
    """A request with the token that the operator's pod really has."""
    return stage.kubectl("exec", "deploy/windrow-operator", "--", "python", "-c", ASK).strip() == "403"
