"""Configuration from the environment: read once, passed down; nothing else reads `os.environ`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where Windrow's parts find each other.

    Every field is one environment variable, named beside it. URLs may carry passwords: they are never shown by `repr`.
    """

    redis_url: str | None = field(default=None, repr=False)
    """`REDIS_URL`: `redis://[user:password@]host:port/db`, or `rediss://…`."""
    database_url: str | None = field(default=None, repr=False)
    """`DATABASE_URL`: `postgresql://user:password@host:port/name`."""
    outboxes: tuple[str, ...] = field(default=(), repr=False)
    """`WINDROW_OUTBOXES`: URLs, with commas between, of further databases with an outbox (`windrow migrate --outbox`)."""
    key_prefix: str = ""
    """`WINDROW_KEY_PREFIX`: put before every Redis key (kombu's `global_keyprefix`)."""
    state_dir: Path = Path(".windrow")
    """`WINDROW_STATE`: the folder of a platform on one machine."""
    specs: Path | None = None
    """`WINDROW_SPECS`: the `windrow.yaml` that a worker or a platform reads."""
    spec: str | None = None
    """`WINDROW_SPEC`: the one QueueWorker, as JSON, that `windrow worker` serves when it is given no name: what a pod gets."""
    namespace: str | None = None
    """`WINDROW_NAMESPACE`: `pause`, `release`, `scale` and `status` are about this namespace of the kubeconfig's cluster."""
    host: str = "127.0.0.1"
    """`WINDROW_HOST`: the address that metrics and the API listen on."""
    port: int = 0
    """`WINDROW_PORT`: the server's port; 0 takes a free one."""
    advertise: str | None = None
    """`WINDROW_ADVERTISE`: host:port at which workers reach this server, when it is not the one it listens at."""
    worker_metrics_port: int = 0
    """`WINDROW_WORKER_METRICS_PORT`: a worker's metrics port; 0 takes a free one."""
    most_events: int = 1_000_000
    """`WINDROW_MOST_EVENTS`: how many entries of the event stream may wait for the recorder before details are left out."""
    log_format: str = "console"
    """`WINDROW_LOG_FORMAT`: `console` for people, `json` for machines."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; raises ValueError with one sentence when a value can't be used."""
        env = os.environ if env is None else env
        log_format = env.get("WINDROW_LOG_FORMAT", "console")
        if log_format not in ("console", "json"):
            raise ValueError(f"WINDROW_LOG_FORMAT must be 'console' or 'json', not {log_format!r}")
        specs = env.get("WINDROW_SPECS")
        return cls(
            redis_url=env.get("REDIS_URL") or None,
            database_url=env.get("DATABASE_URL") or None,
            outboxes=tuple(url.strip() for url in env.get("WINDROW_OUTBOXES", "").split(",") if url.strip()),
            key_prefix=env.get("WINDROW_KEY_PREFIX", ""),
            state_dir=Path(env.get("WINDROW_STATE", ".windrow")),
            specs=Path(specs) if specs else None,
            spec=env.get("WINDROW_SPEC") or None,
            namespace=env.get("WINDROW_NAMESPACE") or None,
            host=env.get("WINDROW_HOST", "127.0.0.1"),
            port=_port(env, "WINDROW_PORT"),
            advertise=_address(env, "WINDROW_ADVERTISE"),
            worker_metrics_port=_port(env, "WINDROW_WORKER_METRICS_PORT"),
            most_events=_most_events(env),
            log_format=log_format,
        )


def _most_events(env: Mapping[str, str]) -> int:
    text = env.get("WINDROW_MOST_EVENTS", "1000000")
    if not text.isdigit() or int(text) < 100:
        raise ValueError(f"WINDROW_MOST_EVENTS must be a number of entries from 100 on, not {text!r}")
    return int(text)


def _port(env: Mapping[str, str], name: str) -> int:
    text = env.get(name, "0")
    if not text.isdigit() or int(text) > 65535:
        raise ValueError(f"{name} must be a port number from 0 to 65535, not {text!r}")
    return int(text)


def _address(env: Mapping[str, str], name: str) -> str | None:
    text = env.get(name)
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) <= 65535:
        raise ValueError(f"{name} must be host:port, e.g. 10.0.0.7:8080, not {text!r}")
    return text
