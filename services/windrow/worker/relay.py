"""How a guard that has the worker's port gets the metrics of the process under it, which has them in its memory.

Each request is one message to that process with a pipe for the answer, so that a late answer never meets another request, and a
process that answers nothing any more costs no one else's answer.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping

from windrow.metrics.worker import Page
from windrow.worker.port import unavailable

ANSWER_SECONDS = 5.0
"""How long the process is waited for."""
MOST_ASKED = 4096
"""Characters of each thing that a client asks for."""


class Relay:
    """A guard's end and a process's end: make it before the fork, then `keep` it in the guard and `serve` it in the process."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def keep(self) -> None:
        """In the guard, after the fork."""
        self._theirs.close()
        self._ours.settimeout(ANSWER_SECONDS)

    def close(self) -> None:
        """In the guard: the process has ended."""
        self._ours.close()

    def page(self, asked: Mapping[str, str]) -> Page:
        """In the guard: the process's metrics."""
        mine, its = socket.socketpair()
        with mine:
            try:
                with its:
                    text = json.dumps({name: value[:MOST_ASKED] for name, value in asked.items()})
                    socket.send_fds(self._ours, [text.encode()], [its.fileno()])
                mine.settimeout(ANSWER_SECONDS)
                status, headers, body = _read(mine)
            except (OSError, ValueError):
                return unavailable("the worker's process must answer, and does not now: it is being replaced, or stands still")
        return status, headers, body

    def serve(self, page: Callable[[Mapping[str, str]], Page]) -> None:
        """In the process: answer, in a thread, until the guard has ended."""
        self._ours.close()
        threading.Thread(target=self._serve, args=(page,), name="metrics", daemon=True).start()

    def _serve(self, page: Callable[[Mapping[str, str]], Page]) -> None:
        while True:
            text, pipes, _, _ = socket.recv_fds(self._theirs, 1 << 16, 1)
            if not text:
                return
            with socket.socket(fileno=pipes[0]) as pipe:
                status, headers, body = page(json.loads(text))
                pipe.settimeout(ANSWER_SECONDS)
                try:
                    pipe.sendall(json.dumps([status, headers]).encode() + b"\n" + body)
                except OSError:
                    continue  # the guard waits no more


def _read(pipe: socket.socket) -> Page:
    with pipe.makefile("rb") as answer:
        status, headers = json.loads(answer.readline())
        return status, [(name, value) for name, value in headers], answer.read()
