"""A real API server for every test that asks, the operator's own account, and workers that are played over real Redis.

The plane is started once for a run and each test has a namespace of its own. `WINDROW_TEST_KUBECONFIG` names a cluster that is
used instead; tests that need played workers are then skipped unless kwok runs its nodes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import setting
from tests.cluster.agent.playing import Agent
from tests.cluster.api import Api
from tests.cluster.control_plane import PLAYED, Plane, given, running
from tests.cluster.kubectl import Kubectl
from tests.cluster.operators import Operators
from tests.cluster.parts import Missing, find

NAMED = "WINDROW_TEST_KUBECONFIG"

try:
    _parts, _missing = find(), ""
except Missing as reason:
    _parts, _missing = None, str(reason)
    _here = Path(__file__).parent
    collect_ignore = [path.name for path in _here.glob("test_*.py") if path.name != "test_parts.py"]  # which says it once


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """A test that failed is shown with what its operators and its agent logged."""
    if call.when == "call" and call.excinfo is not None:
        for name in ("operator", "agent"):
            shown = getattr(item, "funcargs", {}).get(name)
            if isinstance(shown, Operators | Agent):
                item.add_report_section("call", name, shown.log())


@pytest.fixture(scope="session")
def plane() -> Iterator[Plane]:
    """The run's API server with its controllers, scheduler and three nodes."""
    if _parts is None:
        pytest.skip(_missing)
    folder = Path(tempfile.mkdtemp(prefix="windrow-plane-"))
    try:
        if os.environ.get(NAMED):
            named = given(Path(os.environ[NAMED]), _parts, folder)
            yield named
            named.api.close()
        else:
            with running(_parts, folder) as made:
                yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def api(plane: Plane) -> Api:
    """The API server, with all rights."""
    return plane.api


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A namespace of the test's own, with its default account; told to go at the end, and not waited for."""
    name = setting.new_namespace(api)
    yield name
    setting.drop_namespace(api, name)


@pytest.fixture
def kubectl(plane: Plane, namespace: str) -> Kubectl:
    """`kubectl(…)` in the test's namespace, with all rights."""
    return Kubectl(plane, namespace)


@pytest.fixture(scope="session")
def crd(api: Api) -> None:
    """The CRD is there and established."""
    setting.install_crd(api)


@pytest.fixture
def account(plane: Plane, namespace: str, crd: None, tmp_path: Path) -> Path:
    """A kubeconfig with the operator's ServiceAccount, its roles for the test's namespace and a token of its own.

    What it may not do is refused. `setting.operator_account` makes one with other rights.
    """
    path = tmp_path / "operator.kubeconfig"
    return setting.operator_account(plane, namespace, path, watched=(namespace,), secret_names=(setting.OTHER_SECRET,))


@pytest.fixture
def operator(account: Path, api: Api, namespace: str, redis_url: str, tmp_path: Path) -> Iterator[Operators]:
    """The real operator in processes of its own: `operator.start()`; its logs are shown when the test fails."""
    setting.platform_secret(api, namespace, redis_url)
    operators = Operators(tmp_path / "operators", account, namespace, redis_url)
    try:
        yield operators
    finally:
        operators.stop()


@pytest.fixture
def agent(plane: Plane, api: Api, namespace: str, redis_url: str, tmp_path: Path) -> Iterator[Agent]:
    """Plays the worker of each QueueWorker's pod in the test's namespace."""
    if not all(PLAYED in node["metadata"].get("labels", {}) for node in api.items("/api/v1/nodes")):
        pytest.skip(f"the nodes of the cluster that {NAMED} names are real: nobody can play their pods")
    agent = Agent(tmp_path / "agent", plane.kubeconfig, namespace, redis_url)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


@pytest.fixture
def queueworker(api: Api, namespace: str, crd: None) -> Callable[..., setting.QueueWorkerObject]:
    """`queueworker("reports", concurrency=2, scaling={"maxReplicas": 5})` makes one; what is given is its spec."""

    def make(name: str, **spec: object) -> setting.QueueWorkerObject:
        return setting.make_queueworker(api, namespace, name, spec)

    return make
