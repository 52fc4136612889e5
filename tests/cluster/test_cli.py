"""`windrow pause`, `scale`, `release` and `status` on a cluster, on a real API server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cluster.api import Api
from tests.cluster.control_plane import Plane
from tests.cluster.kubectl import Kubectl
from tests.cluster.setting import QueueWorkerObject
from tests.cluster.test_crd_kubectl import entry_of, tell
from windrow.broker import admin
from windrow.broker.client import connect
from windrow.broker.observe import observe
from windrow.cli.group import run
from windrow.scaling import Decision, Reason
from windrow_operator.state import Figures
from windrow_operator.status import status_of

Make = Callable[..., QueueWorkerObject]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("REDIS_URL", "DATABASE_URL", "WINDROW_STATE", "WINDROW_NAMESPACE", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one sentence of a command that must be refused."""

    def ask(*line: str) -> str:
        assert run(line) == 2
        told = capfd.readouterr()
        assert told.out == ""
        (sentence,) = told.err.strip().splitlines()
        return sentence

    return ask


def test_release_undoes_what_kubectl_scale_and_pause_did(
    plane: Plane, kubectl: Kubectl, queueworker: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    """`spec.replicas` and `spec.paused` go, the rest stays; nothing to undo is no error."""
    made = queueworker("long-running", concurrency=3)
    there = ("-n", made.namespace, "--kubeconfig", str(plane.kubeconfig))
    kubectl("scale", "qw/long-running", "--replicas=5")
    assert run(["pause", "long-running", *there]) == 0
    assert capfd.readouterr().out == (
        f"long_running is paused; `windrow release long-running -n {made.namespace}` lets it go on\n"
    )
    assert (made.get()["spec"]["replicas"], made.get()["spec"]["paused"]) == (5, True)
    for _ in range(2):
        assert run(["release", "long-running", *there]) == 0
        assert capfd.readouterr().out == "long_running is the autoscaler's again\n"
        spec = made.get()["spec"]
        assert "replicas" not in spec
        assert not spec.get("paused")
        assert spec["concurrency"] == 3
    assert run(["scale", "long-running", "0", "--json", *there]) == 0
    assert json.loads(capfd.readouterr().out) == {"queue": "long_running", "namespace": made.namespace, "pinned": 0}
    assert made.get()["spec"]["replicas"] == 0


def test_release_undoes_what_stands_in_redis_where_redis_is_known(
    plane: Plane, queueworker: Make, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pin and a pause that were said without a cluster go too, when REDIS_URL says where they are."""
    made = queueworker("mail", queue="letters")
    client = connect(redis_url)
    admin.pin(client, "letters", 7)
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    monkeypatch.setenv("WINDROW_NAMESPACE", made.namespace)
    assert run(["release", "mail"]) == 0
    assert observe(client, ["letters"])["letters"].pinned == 7
    monkeypatch.setenv("REDIS_URL", redis_url)
    assert run(["release", "mail"]) == 0
    assert observe(client, ["letters"])["letters"].pinned is None


def test_a_context_and_its_namespace_are_heeded(plane: Plane, queueworker: Make, tmp_path: Path) -> None:
    """With `--context` alone the namespace is the context's own."""
    made = queueworker("mail")
    config = yaml.safe_load(plane.kubeconfig.read_text())
    (only,) = config["contexts"]
    config["contexts"] = [{"name": "ours", "context": {**only["context"], "namespace": made.namespace}}, only]
    path = tmp_path / "two-contexts"
    path.write_text(yaml.safe_dump(config))
    assert run(["scale", "mail", "2", "--context", "ours", "--kubeconfig", str(path)]) == 0
    assert made.get()["spec"]["replicas"] == 2


def test_status_shows_what_the_operator_wrote(
    api: Api, plane: Plane, queueworker: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    """Figures, mode and reason of each QueueWorker, and each condition that is not as it should be."""
    made = queueworker("long-running")
    now = time.time()
    decision = Decision(2, Reason.COUNTED, "7 ready and 3 in flight")
    figures = Figures(
        read_at=now,
        ready=7,
        in_flight=3,
        oldest_since=now - 65,
        workers=1,
        desired=2,
        decision=decision,
        capped=("tasks.slow",),
    )
    tell(api, made, status_of(entry_of(made), figures, now))
    queueworker("new")
    there = ("-n", made.namespace, "--kubeconfig", str(plane.kubeconfig))
    assert run(["status", *there]) == 0
    head, first, second, *rest = capfd.readouterr().out.splitlines()
    assert head.split() == ["name", "queue", "ready", "in", "flight", "oldest", "workers", "desired", "mode", "why"]
    cells = first.split()
    assert [*cells[:4], *cells[5:8]] == ["long-running", "long_running", "7", "3", "1", "2", "Auto"]
    assert 65 <= int(cells[4].rstrip("s")) < 80
    assert first.endswith("7 ready and 3 in flight")
    assert second.split() == ["new", *"–" * 8]
    assert any(line.startswith("long-running: TimeLimitsFit: ") and "tasks.slow" in line for line in rest)
    assert run(["status", "--json", *there]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [one["name"] for one in told["queueworkers"]] == ["long-running", "new"]
    assert told["queueworkers"][0]["status"]["inFlight"] == 3


def test_what_the_cluster_does_not_let_is_one_sentence(
    plane: Plane, account: Path, queueworker: Make, refused: Callable[..., str], tmp_path: Path
) -> None:
    """No such object, no right, no answer, no cluster, two kinds of platform at once."""
    made = queueworker("mail")
    there = ("-n", made.namespace, "--kubeconfig", str(plane.kubeconfig))
    said = refused("release", "nobody", *there)
    assert said.startswith(f"NAME must be a QueueWorker of namespace {made.namespace!r}; ")
    assert '"nobody" not found' in said
    said = refused("release", "mail", "-n", made.namespace, "--kubeconfig", str(account))
    assert said.startswith(f"you must be allowed to patch queueworkers in namespace {made.namespace!r}; ")
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    away = tmp_path / "away"
    away.write_text(yaml.safe_dump(config))
    assert refused("pause", "mail", "-n", "x", "--kubeconfig", str(away)).startswith("the API server must answer, and does not")
    assert "kubeconfig" in refused("status", "-n", "x", "--kubeconfig", str(tmp_path / "none"))
    assert "KUBECONFIG" in refused("status", "-n", "x")
    assert refused("scale", "mail", "1", "--state", "s", *there).endswith("not both")
