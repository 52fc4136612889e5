"""The QueueWorkers of a cluster, as the commands about queues see them: what `kubectl` would do, in the command's own words."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from windrow.cli.refusal import one_line, refusing
from windrow.settings import Settings

if TYPE_CHECKING:
    from windrow_operator.api import Api

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

MANAGER = "windrow"
"""The field manager of what a person changes."""


@dataclass(frozen=True)
class ClusterTarget:
    """A namespace of a cluster; `namespace` None is the kubeconfig's own."""

    namespace: str | None
    context: str | None = None
    kubeconfig: str | None = None

    def change(self, name: str, spec: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Set fields of a QueueWorker's spec, or remove those that are None; its namespace, and what became of it."""
        return self._ask("patch", lambda api, namespace: _patch(api, namespace, name, spec))

    def queueworkers(self) -> tuple[str, list[dict[str, Any]]]:
        """The namespace, and every QueueWorker in it, by name."""

        async def ask(api: Api, namespace: str) -> list[dict[str, Any]]:
            from windrow_operator.api import QUEUEWORKER

            found = await api.listed(QUEUEWORKER, namespace, patience=0)
            return sorted(found, key=lambda one: str(one["metadata"]["name"]))

        return self._ask("list", ask)

    def _ask(self, verb: str, ask: Callable[[Api, str], Awaitable[T]]) -> tuple[str, T]:
        try:
            from windrow_operator.api import Api
            from windrow_operator.cluster import ApiError
            from windrow_operator.login import log_in
        except ImportError as error:
            raise click.ClickException(
                f"what speaks to a cluster must be installed, and {error.name} is missing: pip install 'windrow[operator]'"
            ) from error

        async def run() -> tuple[str, T]:
            info = log_in(kubeconfig=self.kubeconfig, context=self.context)
            namespace = self.namespace or info.default_namespace or "default"
            try:
                async with Api(lambda: info) as api:
                    return namespace, await ask(api, namespace)
            except ApiError as error:
                raise click.ClickException(_sentence(error.code, one_line(error), verb, namespace)) from error

        with refusing(ApiError):
            return asyncio.run(run())


async def _patch(api: Api, namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """By a merge patch, which also removes what is not there; a JSON patch would be refused for that."""
    from windrow_operator.api import MERGE, QUEUEWORKER, path_of

    path = f"{path_of(QUEUEWORKER, namespace, name)}?fieldManager={MANAGER}"
    return await api.call("PATCH", path, {"spec": spec}, MERGE, patience=0)


def _sentence(code: int, said: str, verb: str, namespace: str) -> str:
    if code == 404 and " not found" in said:
        return f"NAME must be a QueueWorker of namespace {namespace!r}; {said}"
    if code == 404:
        return f"the cluster must know QueueWorkers: install their CRD (charts/windrow-crds); {said}"
    if code == 403:
        return f"you must be allowed to {verb} queueworkers in namespace {namespace!r}; {said}"
    return said


def also_on_a_cluster(command: F) -> F:
    """Give a command `-n`, `--context` and `--kubeconfig`, and what they mean as `cluster`; None without them."""

    @click.option("-n", "--namespace", help="On a cluster: the QueueWorker's namespace.  [default: WINDROW_NAMESPACE]")
    @click.option("--context", help="On a cluster: the kubeconfig's context to use.")
    @click.option("--kubeconfig", type=click.Path(), help="On a cluster: the kubeconfig.  [default: as kubectl's]")
    @functools.wraps(command)
    def wrapped(*args: Any, namespace: str | None, context: str | None, kubeconfig: str | None, **options: Any) -> Any:
        with refusing(ValueError):
            from_env = Settings.from_env().namespace
        given = (namespace, context, kubeconfig) != (None, None, None)
        if given and options.get("state") is not None:
            raise click.UsageError(
                "a platform must be named by --state, or a cluster by -n, --context and --kubeconfig, not both"
            )
        cluster = None
        if given or (from_env is not None and options.get("state") is None):
            cluster = ClusterTarget(namespace or from_env, context, kubeconfig)
        return command(*args, cluster=cluster, **options)

    return wrapped  # type: ignore[return-value]  # click adds its parameters to the function itself
