"""The logs of a platform's processes: one file each, kept small, read back for people.

Rotation copies and truncates: a process goes on writing to the file it has open (for appending) and takes no part in it, and
it costs nothing while little is written.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

MOST_BYTES = 10 * 1024 * 1024
KEPT = 3


def rotate(folder: Path, most_bytes: int = MOST_BYTES, kept: int = KEPT) -> None:
    """Move the content of each log over `most_bytes` to `<name>.log.1`, older ones to `.2` up to `.<kept>`.

    What a process writes between the end of the copy and the truncation, some microseconds, is not kept.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size > most_bytes:
            _rotate(log, kept)


def _rotate(log: Path, kept: int) -> None:
    for number in range(kept, 1, -1):
        older = log.with_name(f"{log.name}.{number - 1}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number}"))
    copy = log.with_name(f"{log.name}.1")
    with log.open("rb") as source, copy.open("wb") as target:
        os.fchmod(target.fileno(), 0o600)
        shutil.copyfileobj(source, target, 1024 * 1024)
        while rest := source.read():
            target.write(rest)
        os.truncate(log, 0)


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log; empty when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            step = min(size, 256 * lines)
            text = b""
            while True:
                file.seek(size - step)
                text = file.read(step)
                if text.count(b"\n") > lines or step == size:
                    break
                step = min(size, step * 2)
    except FileNotFoundError:
        return []
    return text.decode(errors="replace").splitlines()[-lines:]


class Follower:
    """New lines of several logs, those included that appear later; a log that was truncated is read from its beginning."""

    def __init__(self, find: Callable[[], Sequence[Path]]) -> None:
        self._find = find
        self._offsets = {path: path.stat().st_size for path in find()}

    def read(self) -> list[tuple[Path, str]]:
        """The whole lines written since the last call."""
        lines: list[tuple[Path, str]] = []
        for path in self._find():
            try:
                size = path.stat().st_size
                offset = self._offsets.get(path, 0)
                if size < offset:
                    offset = 0
                if size > offset:
                    with path.open("rb") as file:
                        file.seek(offset)
                        whole, end, _ = file.read(size - offset).rpartition(b"\n")
                    offset += len(whole) + len(end)
                    lines += [(path, line) for line in whole.decode(errors="replace").splitlines()]
                self._offsets[path] = offset
            except FileNotFoundError:
                self._offsets.pop(path, None)
        return lines


def follow(find: Callable[[], Sequence[Path]], pause: float = 0.25) -> Iterator[tuple[Path, str]]:
    """New lines for ever, looked for every `pause` seconds."""
    follower = Follower(find)
    while True:
        yield from follower.read()
        time.sleep(pause)
