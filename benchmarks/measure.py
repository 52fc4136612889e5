"""Readings of the machine: CPU of process trees, Redis round trips, and the median and spread of several turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that descends from it; empty when it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system seconds of these processes, and of their children that ended and were waited for."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def tree_cpu(*pids: int) -> float:
    """CPU seconds of whole process trees, each process once."""
    processes = {process.pid: process for pid in pids for process in tree(pid)}
    return cpu_seconds(processes.values())


def platform_processes(root: int, state_dir: Path) -> list[psutil.Process]:
    """All processes of a platform: the tree below `root`, and whoever names its state folder (detached servers)."""
    found = {process.pid: process for process in tree(root)}
    folder = str(state_dir)
    for process in psutil.process_iter():
        try:
            if folder in " ".join(process.cmdline()) or process.environ().get("WINDROW_STATE") == folder:
                for member in tree(process.pid):
                    found.setdefault(member.pid, member)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return list(found.values())


def round_trips(client: redis.Redis) -> int:
    """Reads from sockets that Redis has done so far: one for each round trip of a client, whatever it pipelines."""
    return int(client.info("stats")["total_reads_processed"])


@dataclass(frozen=True)
class Reading:
    """One moment of a turn."""

    at: float
    worker_cpu: float
    platform_cpu: float
    reads: int


def read(client: redis.Redis, worker: int, platform: Sequence[int]) -> Reading:
    """Read everything at once; costs Redis one round trip, the one that `between` subtracts."""
    at = time.monotonic()
    reads = round_trips(client)
    return Reading(at=at, worker_cpu=tree_cpu(worker), platform_cpu=tree_cpu(worker, *platform), reads=reads)


@dataclass(frozen=True)
class Turn:
    """What one side did in one turn. CPU in seconds for each 1,000 tasks."""

    tasks_per_s: float
    cpu_per_1000: float
    round_trips: float
    platform_cpu_per_1000: float


def between(first: Reading, last: Reading, settled: Reading, tasks: int) -> Turn:
    """The turn between two readings `tasks` apart; the platform's CPU counts until `settled`, when records are there."""
    seconds = last.at - first.at
    return Turn(
        tasks_per_s=tasks / seconds,
        cpu_per_1000=(last.worker_cpu - first.worker_cpu) / tasks * 1000,
        round_trips=(last.reads - first.reads - 1) / tasks,
        platform_cpu_per_1000=(settled.platform_cpu - first.platform_cpu) / tasks * 1000,
    )


@dataclass(frozen=True)
class Summary:
    """Median, least and most of several turns."""

    median: float
    least: float
    most: float
    turns: int


def summarise(values: Sequence[float]) -> Summary:
    """Median and spread; raises ValueError when there is no value."""
    if not values:
        raise ValueError("a summary must rest on at least one turn, none was given")
    return Summary(median=statistics.median(values), least=min(values), most=max(values), turns=len(values))
