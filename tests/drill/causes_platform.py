"""What is wrong with the platform itself."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
import psutil

from tests.chaos.processes import ROOT, free_port
from tests.drill.cause import Cause, expect
from tests.drill.stage import Stage
from windrow.local.processes import launch, stop
from windrow.local.servers import EmbeddedRedis
from windrow.records import partitions
from windrow.records.tables import PARTITIONED, SCHEMA

_BUSY = "steady"
"""The queue with tasks while the platform is in trouble."""


def _load(stage: Stage) -> None:
    stage.producer.steady("platform", _BUSY, 3.0)


class Session:
    """A session of PostgreSQL that is kept open."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._link: Any = self._loop.run_until_complete(asyncpg.connect(url, timeout=10))

    def run(self, statement: str) -> None:
        """Run a statement."""
        self._loop.run_until_complete(self._link.execute(statement))

    def close(self) -> None:
        """End it; what it had not committed is undone."""
        self._loop.run_until_complete(self._link.close(timeout=5))
        self._loop.close()


def _run(stage: Stage, *statements: str) -> None:
    session = Session(stage.postgres.url)
    try:
        for statement in statements:
            session.run(statement)
    finally:
        session.close()


# --- PostgreSQL and the recorder ---------------------------------------------------------------------------------------------


def _stop_database(stage: Stage) -> None:
    _load(stage)
    stage.postgres.stop()


def _start_database(stage: Stage) -> None:
    stage.postgres.start()


def _lock_position(stage: Stage) -> None:
    _load(stage)
    session = stage.kept["lock"] = Session(stage.postgres.url)
    session.run("BEGIN")
    session.run(f"LOCK TABLE {SCHEMA}.recorder_positions IN ROW EXCLUSIVE MODE")
    session.run(f"SELECT * FROM {SCHEMA}.recorder_positions FOR UPDATE")


def _unlock_position(stage: Stage) -> None:
    stage.kept["lock"].close()


def _unreadable(stage: Stage) -> None:
    stage.client.xadd(stage.client.keys_of.events, {"v": "99", "e": "of a release that is not made yet"})


def _no_days_ahead(stage: Stage) -> None:
    ahead = partitions.days_ahead(datetime.now(UTC))[2:]
    _run(stage, *(f"DROP TABLE {SCHEMA}.{partitions.name(table, day)}" for day in ahead for table in sorted(PARTITIONED)))


def _migrate(stage: Stage) -> None:
    stage.windrow("migrate")


# --- servers -----------------------------------------------------------------------------------------------------------------


def _freeze(stage: Stage) -> None:
    ports = {int(address.rpartition(":")[2]) for address in stage.servers.values()}
    links = [link for link in psutil.net_connections("tcp") if link.status == psutil.CONN_LISTEN and link.laddr.port in ports]
    stage.kept["frozen"] = [psutil.Process(link.pid) for link in links if link.pid]
    stage.exits.callback(_thaw, stage)  # a process that stands still can't end in order
    for process in stage.kept["frozen"]:
        process.suspend()


def _thaw(stage: Stage) -> None:
    for process in stage.kept["frozen"]:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _stranger(stage: Stage) -> None:
    """A server of another platform, with a Redis and a database of its own, among this platform's targets."""
    broker = stage.kept["stranger's Redis"] = EmbeddedRedis(stage.folder / "stranger")
    stage.exits.callback(broker.stop)
    broker.start()
    _run(stage, "CREATE DATABASE stranger")
    port = free_port()
    process = launch(
        [sys.executable, "-m", "windrow.cli", "server"],
        log=stage.folder / "stranger.log",
        death_signal=signal.SIGTERM,
        cwd=ROOT,
        env=stage.environment(
            REDIS_URL=broker.url,
            DATABASE_URL=stage.postgres.url.rpartition("/")[0] + "/stranger",
            WINDROW_PORT=str(port),
            WINDROW_STATE=str(stage.folder / "stranger"),
        ),
    )
    stage.exits.callback(lambda: stop(process, ((signal.SIGTERM, 5.0),)))
    group = stage.kept["stranger"] = {"targets": [f"127.0.0.1:{port}"], "labels": {"__meta_windrow_role": "server"}}
    stage.desk.extra.append(group)


def _no_stranger(stage: Stage) -> None:
    stage.desk.extra.remove(stage.kept["stranger"])


# --- Redis -------------------------------------------------------------------------------------------------------------------


def _nearly_full(stage: Stage) -> None:
    used = stage.client.info("memory")["used_memory"]
    stage.client.config_set("maxmemory", int(used / 0.93))


def _roomy(stage: Stage) -> None:
    stage.client.config_set("maxmemory", 0)


def _kill_redis(stage: Stage) -> None:
    process = stage.redis.process
    assert process is not None
    process.kill()
    process.wait()


def _revive_redis(stage: Stage) -> None:
    stage.redis.revive()
    stage.redis.ready()


RECORDS_DROPPED = Cause(
    "records_dropped",
    "an entry that no release can read stands in the event stream",
    expect(["RecordsDropped"]),
    _unreadable,
    lambda stage: None,
)
PARTITION_HORIZON = Cause(
    "partition_horizon",
    "the days ahead have no partitions",
    expect(["PartitionHorizon"]),
    _no_days_ahead,
    _migrate,
)
REDIS_MEMORY = Cause(
    "redis_memory",
    "Redis holds 93 % of what it may hold",
    expect(["RedisMemory"]),
    _nearly_full,
    _roomy,
)
DATABASE_AWAY = Cause(
    "database_away",
    "PostgreSQL is stopped, while tasks run",
    expect(["DatabaseAway"], silent=["RecordsNotWritten"]),
    _stop_database,
    _start_database,
)
RECORDS_NOT_WRITTEN = Cause(
    "records_not_written",
    "PostgreSQL answers, and somebody's open transaction holds the row that the recorder writes",
    expect(["RecordsNotWritten"]),
    _lock_position,
    _unlock_position,
)
NO_LEADER = Cause("no_leader", "both servers are frozen (SIGSTOP)", expect(["NoLeader"]), _freeze, _thaw)
TWO_LEADERS = Cause(
    "two_leaders",
    "the server of another platform is scraped as if it belonged to this one",
    expect(["TwoLeaders"]),
    _stranger,
    _no_stranger,
)
REDIS_AWAY = Cause("redis_away", "Redis is killed", expect(["RedisAway"]), _kill_redis, _revive_redis)
