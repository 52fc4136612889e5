"""What Redis was told, by its own MONITOR: an account of the run that no part under test writes."""

from __future__ import annotations

import codecs
import json
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tests.chaos.log import FINALS, Told

_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_TASK = re.compile(rb'\\"task\\": ?\\"[^"]*\\", ?\\"id\\": ?\\"([^"\\]+)\\"')
_RESULT = b"celery-task-meta-"
AGAIN_SECONDS = 2.0
_CELERY = {"SUCCESS": "success", "FAILURE": "failed", "REVOKED": "cancelled"}


class Monitor:
    """Writes MONITOR's lines to a file, from a thread; connects anew when told that Redis is another one."""

    def __init__(self, port: int, password: str, path: Path) -> None:
        self._port, self._password, self._path = port, password, path
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self.connect()

    def connect(self) -> None:
        """Listen to the Redis that is there now; returns when it monitors."""
        link = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        link.sendall(f"AUTH {self._password}\r\nMONITOR\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 2:
            part = link.recv(64)
            if not part:
                raise ConnectionError("Redis must let MONITOR in, and closed the connection")
            answer += part
        link.settimeout(None)
        self._socket = link
        rest = answer.split(b"\r\n", 2)[2]
        threading.Thread(target=self._write, args=(link, rest), daemon=True).start()

    def _write(self, link: socket.socket, rest: bytes) -> None:
        with self._lock, self._path.open("ab") as out, suppress(OSError):  # one connection after the other
            out.write(rest)
            while part := link.recv(1 << 20):
                out.write(part)
                out.flush()

    def close(self) -> None:
        """Stop, once all that Redis has to say is read."""
        if self._socket is not None:
            time.sleep(0.2)
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket = None
            with self._lock:
                pass


def words(line: bytes) -> list[bytes]:
    """The words of the command in a line of MONITOR."""
    return [codecs.escape_decode(word)[0] for word in _WORD.findall(line)]


def told(path: Path, clock: float, stream: str = "windrow:events") -> Iterator[Told]:
    """The events that were appended to the stream, in order; `clock` is wall time less monotonic time."""
    name = b'"' + stream.encode() + b'"'
    for line in _lines(path):
        if (put := _back(line, clock)) is not None:
            yield put
            continue
        if name not in line or b"XADD" not in line[:80].upper():
            continue
        found = words(line)
        if len(found) < 5 or found[0].upper() != b"XADD":
            continue
        pairs = dict(zip(found[3::2], found[4::2], strict=False))
        at = _at(line, clock)
        with suppress(ValueError):  # a stranger's entry is no event
            yield from _events(at, json.loads(pairs.get(b"e", b"[]")))


def _back(line: bytes, clock: float) -> Told | None:
    """A message that was put (back) into a list."""
    command = line[:80].upper()
    if b'"RPUSH"' not in command and b'"LPUSH"' not in command:
        return None
    kind = "apart" if b'"windrow:quarantine' in line[:120] else "back"
    task = _TASK.search(line)
    return Told(_at(line, clock), kind, task[1].decode(), task[1].decode(), None) if task else None


def _at(line: bytes, clock: float) -> float:
    return float(line.split(b" ", 1)[0].lstrip(b"+")) - clock


def _events(at: float, entries: Iterable[dict[str, object]]) -> Iterator[Told]:
    for event in entries:
        state = event.get("state")
        task = event.get("task_id")
        execution = str(event.get("id"))
        said = (str(task) if task else None, str(state) if state else None, str(event.get("attempt") or ""))
        yield Told(at, str(event.get("k")), execution, *said)


def results(path: Path, clock: float) -> Iterator[Told]:
    """What bare Celery stored as results, in order: its finals. The same one stored again at once is no second."""
    last: dict[str, Told] = {}
    for line in _lines(path):
        if (put := _back(line, clock)) is not None:
            yield put
            continue
        if _RESULT not in line or b'"SET' not in line.upper():
            continue
        found = words(line)
        task = next((word[len(_RESULT) :].decode() for word in found if word.startswith(_RESULT)), None)
        with suppress(ValueError):
            stored = json.loads(found[-1]) if found[0].upper() == b"SETEX" else json.loads(found[2])
            state = _CELERY.get(str(stored.get("status")))
            if task and state in FINALS:
                ended = Told(_at(line, clock), "ended", task, task, state)
                before = last.get(task)
                last[task] = ended
                if before is None or before.state != state or ended.at - before.at > AGAIN_SECONDS:
                    yield ended


def _lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as file:
            yield from file
