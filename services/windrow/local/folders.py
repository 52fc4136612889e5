"""The state folder: who holds it, and small files that only its owner may read."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from windrow.local.processes import Identity


class StateInUse(RuntimeError):
    """The folder {path} is in use by process {pid}; stop that one or choose another folder."""


class FolderLock:
    """A folder is used by one process at a time: held by flock, so that a killed holder leaves nothing to clean up.

    The lock's file names the holder, for the other's sentence.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take it; raises `StateInUse` naming the holder."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 64, 0).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise StateInUse(
                f"the state folder must be used by one platform at a time, and {str(self._path.parent)!r} is held by "
                f"process {holder}; stop that process, or choose another folder with --state"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give it back; does nothing when it isn't held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def make_folder(path: Path) -> None:
    """Make a folder of our own: passable (0711) when root makes it, so that an unprivileged server may live inside, else 0700.

    A folder that is there keeps its mode.
    """
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(exist_ok=True)
    path.chmod(0o711 if os.geteuid() == 0 else 0o700)


def make_private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter; one that is there keeps its mode."""
    path.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, content: str) -> None:
    """Replace a file (mode 0600) in one step."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    new.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object; empty when there is no file, or not a whole one."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file (mode 0600) by a JSON object."""
    write_private(path, json.dumps(content, indent=1) + "\n")


def identity_in(content: dict[str, Any]) -> Identity | None:
    """The process that a JSON object names by `pid` and `created`."""
    pid, created = content.get("pid"), content.get("created")
    return Identity(pid, created) if isinstance(pid, int) and isinstance(created, float) else None
