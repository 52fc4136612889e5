"""What the operator costs: CPU and memory of its process, and its writes to the API server by the server's own audit log."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Over a stretch of `seconds`: `cores` of CPU, `megabytes` resident at its end, `writes` by resource and verb."""

    seconds: float
    cores: float
    megabytes: float
    writes: dict[str, int]

    @property
    def writes_a_minute(self) -> float:
        """Besides those to Leases."""
        return sum(count for what, count in self.writes.items() if not what.startswith("leases ")) * 60 / self.seconds


def cost(pid: int, audit: Path, user: str, seconds: float) -> Cost:
    """Watch a process and the writes of a user (`system:serviceaccount:…`) for some seconds."""
    before, from_line, begun = _cpu(pid), _size(audit), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - begun
    cpu, megabytes = _cpu(pid) - before, _resident(pid)
    time.sleep(1.0)  # the log's last lines
    return Cost(took, cpu / took, megabytes, dict(writes(audit, user, from_line)))


def writes(audit: Path, user: str, from_byte: int = 0) -> Counter[str]:
    """How often a user wrote, by resource and verb; from a place in the log on."""
    found: Counter[str] = Counter()
    with audit.open("rb") as file:
        file.seek(from_byte)
        for line in file:
            event = json.loads(line)
            if event["user"]["username"] == user:
                reference = event.get("objectRef", {})
                part = "/".join(filter(None, (reference.get("resource"), reference.get("subresource"))))
                found[f"{part} {event['verb']}"] += 1
    return found


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _cpu(pid: int) -> float:
    """User and system seconds (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
