"""How a prefork child ended, and the most memory that it held since its last attempt began."""

from __future__ import annotations

import os

from billiard.popen_fork import Popen

from windrow.worker.usage import ended_peak


class Reaped(Popen):
    """Billiard's child process, whose end is taken together with what the kernel knows of its memory."""

    returncode: int | None
    peak: int | None = None
    """Bytes, once it has ended: of the process itself, or the largest of its own children that have ended, if that is more."""

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Its exit code, negative for a signal; None while it runs, or when it is nobody's child (any more)."""
        if self.returncode is None:
            try:
                pid, status, usage = os.wait4(self.pid, flag)
            except ChildProcessError:
                return None
            if pid == self.pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                self.peak = ended_peak(usage)
        return self.returncode
