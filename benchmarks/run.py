"""When, by what command and on what machine figures were measured."""

from __future__ import annotations

import datetime
import platform

import psutil


def run_of(command: str) -> dict[str, str]:
    """What every file of figures says of the run that made it."""
    memory = psutil.virtual_memory().total / 2**30
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "machine": f"{psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
