"""How one operator process is set up: flags of `windrow operator`, else the environment."""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from windrow.settings import Settings
from windrow_operator.render import Platform

DEFAULT_IMAGE = "windrow:latest"
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Config:
    """One operator process. Every field is one environment variable, named beside it."""

    namespace: str
    """`WINDROW_OPERATOR_NAMESPACE`: where its Lease is; left out, the pod's own."""
    watched: tuple[str, ...]
    """`WINDROW_WATCH_NAMESPACES`: the namespaces that it serves, with commas between; empty: all."""
    platform: Platform
    """`WINDROW_WORKER_IMAGE`, `…_WORKER_SECRET`, `…_WORKER_CA_SECRET`, `…_POD_MONITORS`, `…_POD_MONITOR_LABELS`,
    `…_INSTALLATION` and `WINDROW_KEY_PREFIX`."""
    redis_url: str | None = field(repr=False)
    """`REDIS_URL`: the Redis of every queue whose spec names no other."""
    host: str = "127.0.0.1"
    """`WINDROW_HOST`: what `/metrics`, `/livez` and `/readyz` listen on."""
    port: int = 0
    """`WINDROW_PORT`: their port; 0 takes a free one."""
    log_format: str = "console"
    """`WINDROW_LOG_FORMAT`: the operator's, and its workers'."""
    identity: str = ""
    """`POD_NAME`, else the host's name, and some letters: the name in the Lease."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, *, watched: tuple[str, ...] | None = None) -> Config:
        """Read the environment; `watched` stands in for WINDROW_WATCH_NAMESPACES. Raises ValueError with one sentence."""
        env = os.environ if env is None else env
        settings = Settings.from_env(env)
        if watched is None:
            watched = tuple(name.strip() for name in env.get("WINDROW_WATCH_NAMESPACES", "").split(",") if name.strip())
        for name in watched:
            _checked("WINDROW_WATCH_NAMESPACES", name)
        own = env.get("WINDROW_OPERATOR_NAMESPACE") or _pods_own()
        if own is None:
            raise ValueError("WINDROW_OPERATOR_NAMESPACE must say in which namespace the operator's Lease is, e.g. windrow")
        return cls(
            namespace=_checked("WINDROW_OPERATOR_NAMESPACE", own),
            watched=tuple(dict.fromkeys(watched)),
            platform=Platform(
                image=env.get("WINDROW_WORKER_IMAGE") or DEFAULT_IMAGE,
                secret=env.get("WINDROW_WORKER_SECRET") or "windrow",
                key_prefix=settings.key_prefix,
                pod_monitors=_yes(env, "WINDROW_POD_MONITORS"),
                monitor_labels=_labels(env, "WINDROW_POD_MONITOR_LABELS"),
                installation=env.get("WINDROW_INSTALLATION", ""),
                ca_secret=env.get("WINDROW_WORKER_CA_SECRET", ""),
                log_format=settings.log_format,
            ),
            redis_url=settings.redis_url,
            host=settings.host,
            port=settings.port,
            log_format=settings.log_format,
            identity=f"{env.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}",
        )


def _checked(variable: str, name: str) -> str:
    if not _NAMESPACE.fullmatch(name):
        raise ValueError(f"{variable} must be names of namespaces (lower-case letters, digits and '-'), not {name!r}")
    return name


def _yes(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name, "false")
    if text not in ("true", "false"):
        raise ValueError(f"{name} must be 'true' or 'false', not {text!r}")
    return text == "true"


def _labels(env: Mapping[str, str], name: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in env.get(name, "").split(",") if pair]
    if not all(key and equals for key, equals, _ in pairs):
        raise ValueError(f"{name} must be labels as name=value with commas between, not {env[name]!r}")
    return {key: value for key, _, value in pairs}


def _pods_own() -> str | None:
    return _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.exists() else None
