"""Sees the processes that ran bodies die: the kernel tells the moment, by a pidfd for each."""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 0.004


class Watch:
    """Follows the file of evidence, and every process that writes to it or is named to `see`, from a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = threading.Event()
        self._poll = select.poll()
        self._fds: dict[int, int] = {}
        self._known: set[int] = set()
        self.deaths: dict[int, float] = {}
        self.starts = 0
        """How many bodies have started so far."""
        self.ends = 0
        """How many have ended so far."""
        self.bodies: set[int] = set()
        """Processes in which bodies have run."""
        self.running: set[int] = set()
        """Processes whose last line is a start."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def see(self, pid: int, last: float) -> None:
        """Watch a process; one that is gone by now died at `last`."""
        if pid in self._known:
            return
        self._known.add(pid)
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self.deaths[pid] = last
            return
        self._fds[fd] = pid
        self._poll.register(fd, select.POLLIN)

    def _run(self) -> None:
        position, rest = 0, b""
        while not self._stop.is_set():
            for fd, _ in self._poll.poll(LOOK_SECONDS * 1000):
                self.deaths[self._fds.pop(fd)] = time.monotonic()
                self._poll.unregister(fd)
                os.close(fd)
            with suppress(FileNotFoundError), self._path.open("rb") as file:
                file.seek(position)
                part = file.read()
                position += len(part)
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    at, pid, what = line.split(b" ", 3)[:3]
                    self.starts += what == b"start"
                    self.ends += what == b"end"
                    self.bodies.add(int(pid))
                    if what == b"start":
                        self.running.add(int(pid))
                    else:
                        self.running.discard(int(pid))
                    self.see(int(pid), float(at))

    def stop(self) -> None:
        """Look a last time and end."""
        if self._stop.is_set():
            return
        time.sleep(3 * LOOK_SECONDS)
        self._stop.set()
        self._thread.join()
        for fd in self._fds:
            with suppress(OSError):
                os.close(fd)
