"""The warden: a small process beside a worker's others, which ends them all when the lease has ended.

The worker's lease keeper does the same, but it is a thread of a process that can be stopped (a debugger, SIGSTOP, a full
machine) while its children run on. The warden has nothing to do but to look at the clock.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from celery.platforms import set_pdeathsig

from windrow.broker.fence import FENCED, Fence, now

NAME = b"windrow-warden"
"""Its name in `ps -o comm`."""
LONGEST_SLEEP = 3.0
_PR_SET_NAME = 15


def post(fence: Fence) -> int | None:
    """Start the warden of this process and of all that it will fork; its process id, None where there is no /proc.

    No thread may have been started before. It ends with this process.
    """
    if not sys.platform.startswith("linux"):
        return None
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _watch(fence, parent)
    return pid


def children_of(pid: int, but: int = 0) -> list[int]:
    """The processes that `pid` has forked and not reaped, all its threads taken together, without `but`."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, thread.read_text(encoding="ascii").split())
        except OSError:  # the thread, or the process, has ended
            continue
    return [child for child in found if child != but]


def _watch(fence: Fence, parent: int) -> NoReturn:
    try:
        os.setsid()  # a signal to the worker's group is not meant for it
        set_pdeathsig("SIGKILL")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(_PR_SET_NAME, NAME, 0, 0, 0)
        gc.disable()
        while os.getppid() == parent:
            left = fence.deadline - now()
            if left <= 0:
                _end(parent)
            time.sleep(min(max(left, 0.001), LONGEST_SLEEP))
    finally:
        os._exit(0)


def _end(parent: int) -> None:
    """Kill what runs tasks first, then the worker itself."""
    for pid in (*children_of(parent, but=os.getpid()), parent):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    text = "windrow: the lease ended and could not be renewed: the worker and its tasks were ended, others run them again\n"
    os.write(2, text.encode())
    os._exit(FENCED)
