"""Faults of what workers rest on: Redis, the way to it, PostgreSQL, the servers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.aof import cut
from tests.chaos.faults import busiest, pick
from tests.chaos.log import Outage
from tests.chaos.proxy import CUT, PASS, REFUSE, Proxy
from tests.chaos.stage import Stage

if TYPE_CHECKING:
    from tests.chaos.rows import Row

PAUSE_SECONDS = 4.0
UNRECORDED_SECONDS = 1.0
"""What was accepted so long before Redis is emptied is on record."""


@contextmanager
def _away(stage: Stage, what: str) -> Iterator[None]:
    stage.struck += 1
    began = time.monotonic()
    yield
    stage.outages.append(Outage(what, began, time.monotonic()))


def _each(stage: Stage, row: Row) -> Iterator[int]:
    """Once for each blow, with time between them in which things go on."""
    for number in range(row.blows):
        time.sleep(PAUSE_SECONDS if number else 1.0 + stage.dice.random())
        yield number


def freeze_redis(stage: Stage, row: Row, seconds: float) -> None:
    """Redis is stopped (SIGSTOP) and goes on: its connections stay, nothing answers."""
    for _ in _each(stage, row):
        with _away(stage, "Redis frozen"):
            assert stage.redis.process is not None
            pid = stage.redis.process.pid
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(pid, signal.SIGCONT)


def cut_redis(stage: Stage, row: Row, seconds: float, mode: str = CUT) -> None:
    """Redis can't be reached by anybody: packets vanish (`cut`), or connections are closed and refused (`refuse`)."""
    for _ in _each(stage, row):
        with _away(stage, "Redis cut off"):
            _set(stage.proxies(), mode)
            time.sleep(seconds)
            _set(stage.proxies(), PASS)


def cut_one(stage: Stage, row: Row, seconds: float, server_too: bool) -> None:
    """One worker can't reach Redis, or neither Redis nor the servers; others can."""
    for _ in _each(stage, row):
        victim = busiest(stage)
        stage.struck += 1
        proxies = [victim.proxy]
        if server_too:
            for proxy in stage.server_proxies:
                proxy.selects = victim.has_port
            proxies += stage.server_proxies
        _set(proxies, CUT)
        time.sleep(seconds)
        _set(proxies, PASS)
        stage.worker(victim.kind, wait=False)  # as a supervisor would, if it has ended


def restart_redis(stage: Stage, row: Row, away: float = 1.0, lose: float = 0.0, before: float = 0.0) -> None:
    """Redis is killed and started again on what it had written; with `lose`, less what it wrote in the last seconds."""
    sizes = _Sizes(stage.folder / "redis" / "appendonlydir")
    time.sleep(before)
    for _ in _each(stage, row):
        with _away(stage, "Redis restarted"):
            process = stage.redis.process
            assert process is not None
            process.kill()
            stage.killed += 1
            killed = time.monotonic()
            process.wait()
            _set(stage.proxies(), REFUSE)  # a dead server's port refuses; and nobody comes back before MONITOR does
            if lose:
                stage.lost.append((killed - lose - sizes.every, killed))
                cut(sizes.path(), sizes.at(killed - lose))
            time.sleep(away)
            stage.redis.revive()
            stage.redis.ready()
            stage.monitor.connect()
            _set(stage.proxies(), PASS)
    sizes.stop()


def empty_redis(stage: Stage, row: Row) -> None:
    """All that Redis holds is deleted (FLUSHALL)."""
    for _ in _each(stage, row):
        stage.struck += 1
        stage.client().flushall()
        now = time.monotonic()
        stage.lost.append((now - UNRECORDED_SECONDS, now))


def kill_postgres(stage: Stage, row: Row) -> None:
    """PostgreSQL is killed and started again."""
    for _ in _each(stage, row):
        stage.struck += 1
        process = stage.postgres.process
        assert process is not None
        process.kill()
        stage.killed += 1
        process.wait()
        time.sleep(2.0)
        stage.postgres.revive()
        stage.postgres.ready()


def stop_postgres(stage: Stage, row: Row, seconds: float) -> None:
    """PostgreSQL is stopped for a while; tasks must go on meanwhile."""
    for _ in _each(stage, row):
        stage.struck += 1
        stage.postgres.stop()
        before = stage.watch.ends
        time.sleep(seconds)
        if stage.watch.ends == before:
            raise RuntimeError("tasks must go on while PostgreSQL is away, and none ended")
        stage.postgres.start()


def kill_servers(stage: Stage, row: Row) -> None:
    """kill -9 of a server at a random moment, of a worker shortly before: whoever leads next goes on with it."""
    for number in range(row.blows):
        time.sleep(stage.dice.uniform(1.0, 12.0))
        if number % 3 == 0:
            victim = pick(stage)
            stage.kill([victim.process.pid])
            stage.worker(victim.kind, wait=False)
            time.sleep(stage.dice.uniform(6.0, 9.0))  # about when it is given back
        server = stage.dice.choice([each for each in stage.servers if each.poll() is None])
        stage.struck += 1
        server.kill()
        stage.killed += 1
        server.wait()
        stage.server()


def _set(proxies: list[Proxy], mode: str) -> None:
    for proxy in proxies:
        proxy.set(mode)


class _Sizes:
    """How long Redis' append-only file was, and when: a thread looks every 20 ms."""

    every = 0.02

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: list[tuple[float, int]] = []
        self._stop = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def path(self) -> Path:
        """The file that is appended to."""
        return max(self._folder.glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))

    def at(self, moment: float) -> int:
        """Its length at that moment."""
        return max((size for when, size in self._seen if when <= moment), default=0)

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self.every):
            self._seen.append((time.monotonic(), self.path().stat().st_size))
