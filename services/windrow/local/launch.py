"""Become a child that dies with its parent, then the program that was asked for.

Run as a script by `windrow.local.processes` (`python -I -S launch.py PARENT SIGNAL UID GID PROGRAM …`), so that nothing has to
run between fork and exec of a process that may have threads. It imports nothing of Windrow, and nothing after it has given up
its rights, when it may no longer be able to read the Python it runs on.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(argv: list[str]) -> None:
    """Set the uid (-1 keeps it) and the signal at the parent's death, then exec; never returns."""
    parent, death_signal, uid, gid = (int(text) for text in argv[:4])
    program = argv[4:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After setuid: a change of credentials clears it (prctl(2)). An exec of an ordinary program keeps it.
        if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
            sys.exit("prctl(PR_SET_PDEATHSIG) failed")
        if os.getppid() != parent:  # it died before the line above
            sys.exit("the parent is gone")
    os.execv(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
