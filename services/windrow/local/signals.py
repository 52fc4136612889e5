"""Signals that wake a loop: how often the platform was told to stop, and that a child ended."""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Self

_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WAKE = (signal.SIGCHLD, signal.SIGWINCH)


class Signals:
    """Counts SIGINT, SIGTERM and SIGHUP while entered; `wait` returns early when one of them, or a child's end, comes.

    Until `settled`, the first of them raises KeyboardInterrupt, so that a start that takes long can be broken off.
    """

    def __init__(self) -> None:
        self.stops = 0
        self.settled = False
        self._before: dict[signal.Signals, Any] = {}
        self._read, self._write = socket.socketpair()
        self._fd = -1

    def wait(self, seconds: float) -> None:
        """Sleep, at most `seconds`, until a signal comes."""
        ready, _, _ = select.select([self._read], [], [], max(0.0, seconds))
        if ready:
            self._read.recv(4096)

    def __enter__(self) -> Self:
        for end in (self._read, self._write):
            end.setblocking(False)
        self._fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in _STOP:
            self._before[number] = signal.signal(number, self._stop)
        for number in _WAKE:
            self._before[number] = signal.signal(number, self._wake)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd)
        self._read.close()
        self._write.close()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1
        if not self.settled and self.stops == 1:
            raise KeyboardInterrupt

    def _wake(self, number: int, frame: FrameType | None) -> None:
        """The byte that Python writes to the wake-up socket is all that is wanted."""
