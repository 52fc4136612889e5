"""The row `start_s`: `windrow up` with an empty state folder to the first finished task."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg

from benchmarks import counter, windrowed
from benchmarks.sides import SPEC
from benchmarks.stack import Stack, folder, process, until
from windrow import install

RECORDED = "select count(*) from windrow.totals where kind = 'finished' and label = 'success'"


def turns(rounds: int, say: Callable[[str], None]) -> list[tuple[float, float]]:
    """Seconds to the first finished task, and to its final record; the first, cold turn is not counted."""
    found: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        with folder("windrow-start-") as made:
            pair = _turn(made)
        if number:
            found.append(pair)
            say(f"start: round {number}: finished after {pair[0]:.2f} s, on record after {pair[1]:.2f} s")
    return found


def platform(state: Path, specs: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of `windrow up` on `state` with `specs`; servers are its own."""
    yaml = state.parent / "windrow.yaml"
    yaml.write_text(specs)
    environment = Stack("", "", state).environment({"BENCH_COUNTER": str(state.parent / "count")})
    for name in ("REDIS_URL", "DATABASE_URL"):
        environment.pop(name)
    return [sys.executable, "-m", "windrow.cli", "up", "-f", str(yaml), "--state", str(state)], environment


def urls(state: Path) -> Stack | None:
    """Where a platform's own servers are, as soon as both are there."""
    try:
        known = {name: json.loads((state / f"{name}.json").read_text()) for name in ("redis", "postgres")}
        return Stack(
            f"redis://:{known['redis']['password']}@127.0.0.1:{known['redis']['port']}/0",
            f"postgresql://windrow:{known['postgres']['password']}@127.0.0.1:{known['postgres']['port']}/postgres",
            state,
        )
    except (OSError, ValueError, KeyError):
        return None  # being written


def _turn(made: Path) -> tuple[float, float]:
    state, count = made / "state", made / "count"
    counter.reset(count)
    command, environment = platform(state, SPEC % ("prefork", 2))
    began = time.monotonic()
    with process(command, environment, made / "up.log", grace=30) as up:
        until(lambda: urls(state), 30, "the servers' addresses are in the state folder", up)
        stack = urls(state)
        assert stack is not None
        until(lambda: _answers(stack), 30, "Redis answers", up)
        # From a producer that runs already: its own start is not the platform's.
        install(windrowed.app, redis_url=stack.redis_url)
        windrowed.noop.delay()
        counter.wait(count, 1, 60)
        finished = time.monotonic() - began
        until(lambda: asyncio.run(_recorded(stack.database_url)), 30, "the final state is on record", up)
        recorded = time.monotonic() - began
    shutil.rmtree(state, ignore_errors=True)
    return finished, recorded


def _answers(stack: Stack) -> bool:
    import redis

    try:
        return bool(stack.client.ping())
    except redis.RedisError:
        return False


async def _recorded(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError):
        return False
    try:
        return bool(await connection.fetchval(RECORDED))
    except asyncpg.UndefinedTableError:
        return False
    finally:
        await connection.close()
