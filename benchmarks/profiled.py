"""`python -m benchmarks.profiled FOLDER celery|windrow ARGUMENTS…`: a worker whose processes profile themselves when told to.

The first signal starts the profile of the process that gets it, the second one writes it to FOLDER/PID.stats. Children
inherit both. It counts CPU time: waiting is not work.
"""

from __future__ import annotations

import cProfile
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

START, WRITE = signal.SIGRTMIN, signal.SIGRTMIN + 1
_running: list[cProfile.Profile] = []


def main() -> None:
    """Install both signals, then be the worker."""
    folder, program, *arguments = sys.argv[1:]

    def start(*_: Any) -> None:
        _running.append(cProfile.Profile(time.process_time))
        _running[-1].enable()

    def write(*_: Any) -> None:
        _running[-1].disable()
        _running[-1].dump_stats(Path(folder) / f"{os.getpid()}.writing")
        (Path(folder) / f"{os.getpid()}.writing").rename(Path(folder) / f"{os.getpid()}.stats")

    signal.signal(START, start)
    signal.signal(WRITE, write)
    sys.argv = [program, *arguments]
    if program == "celery":
        from celery.__main__ import main as run
    else:
        from windrow.cli import main as run
    run()


if __name__ == "__main__":
    main()
