"""Where the API server is, and who we are: by kopf's own login functions."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

import kopf

from windrow_operator.cluster import ApiError


def log_in(*, kubeconfig: str | None = None, context: str | None = None) -> kopf.ConnectionInfo:
    """Where the API server is and who we are: KUBECONFIG, else a pod's own account, else ~/.kube/config.

    `kubeconfig` and `context` stand in for the environment's. Raises ApiError with one sentence when there is nothing to log in
    with.
    """
    settings = kopf.OperatorSettings()
    with _Environment(kubeconfig, context) as given:
        try:
            info = None
            if not given and not os.environ.get("KUBECONFIG"):
                info = kopf.login_with_service_account(settings=settings)
            info = info or kopf.login_with_kubeconfig(settings=settings)
        except (OSError, KeyError, kopf.LoginError) as error:
            raise ApiError(0, f"the kubeconfig must be readable and name a context, and it is not ({error})") from error
    if info is None:
        raise ApiError(0, "a cluster must be known: set KUBECONFIG, or run in a pod with a service account")
    return info


class _Environment:
    """KUBECONFIG for as long as kopf's login reads it; a context is chosen by a small kubeconfig that stands first."""

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        self._given, self._context = kubeconfig, context
        self._before: str | None = None
        self._file: Any = None

    def __enter__(self) -> bool:
        self._before = os.environ.get("KUBECONFIG")
        paths = self._given or self._before or "~/.kube/config"
        if self._context is not None:
            self._file = tempfile.NamedTemporaryFile("w", suffix=".yaml")
            json.dump({"current-context": self._context}, self._file)
            self._file.flush()
            paths = f"{self._file.name}{os.pathsep}{paths}"
        if self._given or self._context:
            os.environ["KUBECONFIG"] = paths
        return bool(self._given or self._context)

    def __exit__(self, *_: object) -> None:
        if self._given or self._context:
            if self._before is None:
                os.environ.pop("KUBECONFIG", None)
            else:
                os.environ["KUBECONFIG"] = self._before
        if self._file is not None:
            self._file.close()
