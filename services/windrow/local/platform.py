"""How other commands find a platform that runs on this machine: `<state>/platform.json`, for its owner alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from windrow.local.folders import identity_in, read_json, write_json
from windrow.local.processes import Identity

FILE = "platform.json"


@dataclass(frozen=True)
class Platform:
    """A platform that runs: where its servers are and what it serves. `repr` shows no password."""

    redis_url: str = field(repr=False)
    database_url: str = field(repr=False)
    key_prefix: str = ""
    queues: Mapping[str, str] = field(default_factory=dict)
    """Queue by QueueWorker name."""
    state_dir: Path | None = None


def announce(platform: Platform, state_dir: Path) -> None:
    """Write the file for this process's platform."""
    identity = Identity.of(os.getpid())
    content = {key: value for key, value in asdict(platform).items() if key != "state_dir"}
    write_json(state_dir / FILE, {**content, "pid": identity.pid, "created": identity.created})


def withdraw(state_dir: Path) -> None:
    """The platform runs no more."""
    (state_dir / FILE).unlink(missing_ok=True)


def find(state_dir: Path) -> Platform | None:
    """The platform that runs on a state folder; None when none does."""
    content = read_json(state_dir / FILE)
    identity = identity_in(content)
    if identity is None or identity.find() is None:
        return None
    return Platform(
        redis_url=content["redis_url"],
        database_url=content["database_url"],
        key_prefix=content["key_prefix"],
        queues=content["queues"],
        state_dir=state_dir,
    )


def server_url(state_dir: Path) -> str | None:
    """Where the server process says it listens; None while it doesn't."""
    url = read_json(state_dir / "server.json").get("url")
    return url if isinstance(url, str) else None
