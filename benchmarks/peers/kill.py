"""What each peer loses on kill -9: not a timing, so all run beside each other, each on a Redis database of its own.

Windrow gets the first one, where its server is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import measure
from benchmarks.peers.contestants import Peer, worker_log
from benchmarks.peers.throughput import publish
from benchmarks.stack import Stack, process

TASKS = 300
LATER = 12.0
"""Seconds after the restart at which some more tasks arrive, as they would in life: some peers look for the dead only then."""
MORE, MORE_FROM = 20, 1_000_000


@dataclass(frozen=True)
class Round:
    """One round: of `TASKS` tasks, how many never ended and how many began more than once; and when the last one ended."""

    lost: int
    twice: int
    seconds: float
    """From the restart to the last end."""


def marks(path: Path) -> tuple[Counter[int], set[int]]:
    """How often each task began, and which ended."""
    began: Counter[int] = Counter()
    ended: set[int] = set()
    for line in path.read_text().splitlines() if path.exists() else ():
        what, number = line.split()
        if what == "s":
            began[int(number)] += 1
        else:
            ended.add(int(number))
    return began, ended


def count(path: Path, number: int, seconds: float) -> Round:
    """Round `number` of the tasks that are in the file; what came back in a later round is not lost."""
    began, ended = marks(path)
    own = range(number * TASKS, (number + 1) * TASKS)
    return Round(sum(task not in ended for task in own), sum(began[task] > 1 for task in own), seconds)


def rounds(stack: Stack, peer: Peer, database: int, turns: int, say: Callable[[str], None]) -> list[Round]:
    """All rounds of one peer: publish, kill the whole worker when a third has ended, start it again, wait."""
    path = stack.folder / f"marks-{database}"
    environment = {**stack.environment(peer.ways["kill"].environment), "BENCH_MARKS": str(path)}
    environment["REDIS_URL"] = _on_database(stack.redis_url, database)
    took = []
    with peer.services(stack):
        for number in range(turns):
            publish(stack, peer, "marked", TASKS, environment, number * TASKS)
            with process(peer.command(stack, "kill"), environment, worker_log(stack, peer)) as worker:
                _wait(path, number, TASKS // 3, 60)
                _kill(worker.pid)
            restarted = time.monotonic()
            with process(peer.command(stack, "kill"), environment, worker_log(stack, peer)):
                moved = _wait(path, number, TASKS, LATER)
                if not _drained(path, number, TASKS):
                    publish(stack, peer, "marked", MORE, environment, MORE_FROM + number * MORE)
                    moved = _wait(path, number, TASKS, peer.patience)
                took.append(moved - restarted)
            say(f"kill -9: {peer.name}: round {number + 1}: {count(path, number, took[-1])}")
    return [count(path, number, seconds) for number, seconds in enumerate(took)]


def as_json(found: list[Round]) -> dict[str, Any]:
    """Sums over all rounds, for `build/peers.json`."""
    return {
        "rounds": len(found),
        "tasks": TASKS * len(found),
        "lost": sum(each.lost for each in found),
        "twice": sum(each.twice for each in found),
        "seconds": max(each.seconds for each in found),
    }


def _on_database(url: str, number: int) -> str:
    head, _, last = url.rpartition("/")
    return f"{head}/{number}" if last.isdigit() else f"{url.rstrip('/')}/{number}"


def _wait(path: Path, number: int, wanted: int, patience: float) -> float:
    """Until `wanted` of the round have ended, or nothing moved for `patience` seconds; returns when something last moved."""
    moved, size = time.monotonic(), -1
    while time.monotonic() - moved < patience:
        now = path.stat().st_size if path.exists() else 0
        if now != size:
            moved, size = time.monotonic(), now
            if _drained(path, number, wanted):
                break
        time.sleep(0.05)
    return moved


def _drained(path: Path, number: int, wanted: int) -> bool:
    _, ended = marks(path)
    return sum(task // TASKS == number for task in ended) >= wanted


def _kill(pid: int) -> None:
    for each in measure.tree(pid):
        with suppress(psutil.NoSuchProcess):
            each.kill()
