"""Process 1 of a container: it must reap the orphans that tasks leave, and pass signals on to the main process alone.

`windrow` runs itself again below dumb-init, which does both, wherever that program is (`windrow[init]`; Windrow's own image has
it), so a pod's command is plain `windrow worker`, in a user's own image too.
"""

from __future__ import annotations

import os
import shutil
import sys

FIRST = 1


def below_init(pid: int, command: list[str]) -> list[str] | None:
    """The command that runs `command` below an init process; None where there is nothing to do, or no init to be found."""
    init = shutil.which("dumb-init") if pid == FIRST else None
    # Without --single-child it signals the whole session, and a signal to the pool's children loses their tasks.
    return None if init is None else [init, "--single-child", "--", *command]


def exec_below_init() -> None:
    """Replace this process by an init and itself, when it is process 1."""
    command = below_init(os.getpid(), sys.orig_argv)
    if command is not None:
        os.execv(command[0], command)  # noqa: S606 - our own command line
