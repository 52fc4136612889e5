"""Real servers for every test that asks: one embedded Redis and one PostgreSQL for the whole run.

`redis_url` and `redis_client` are flushed for each test; `database_url` is a database of the test's own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from tests.brokers import FLAVOURS, Broker, broker
from windrow.local.servers import EmbeddedPostgres, EmbeddedRedis

_numbers = itertools.count(1)

# The tests' databases live for one run: they need not survive the loss of power.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """The state folder of the run's servers: within the reach of the account that PostgreSQL runs under."""
    folder = Path(tempfile.mkdtemp(prefix="windrow-tests-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server(servers_dir: Path) -> Iterator[EmbeddedRedis]:
    """The run's Redis."""
    with EmbeddedRedis(servers_dir) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(servers_dir: Path) -> Iterator[EmbeddedPostgres]:
    """The run's PostgreSQL."""
    with EmbeddedPostgres(servers_dir, settings=_FAST) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """A Redis with nothing in it."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client (bytes) of that Redis."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture(scope="session", params=FLAVOURS)
def _each_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(request.param, tmp_path_factory.mktemp("broker")) as made:
        yield made


@pytest.fixture
def each_server(_each_server: Broker) -> Broker:
    """Redis 6.2, Redis 7 and Valkey 9 in turn, with nothing in it."""
    _each_server.clear()
    return _each_server


@pytest.fixture
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """An empty database of the test's own."""
    yield from _database(postgres_server, "template0")


@pytest.fixture(scope="session")
def _migrated_template(postgres_server: EmbeddedPostgres) -> str:
    from windrow.records.migrate import migrate

    sql(postgres_server.url, "CREATE DATABASE migrated TEMPLATE template0")
    migrate(_named(postgres_server, "migrated"))
    return "migrated"


@pytest.fixture
def migrated_database_url(postgres_server: EmbeddedPostgres, _migrated_template: str) -> Iterator[str]:
    """A database of the test's own with Windrow's tables in it."""
    yield from _database(postgres_server, _migrated_template)


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """The state folder of one platform, not made yet, where PostgreSQL's account can reach it."""
    parent = Path(tempfile.mkdtemp(prefix="windrow-state-"))
    if os.geteuid() == 0:
        parent.chmod(0o711)
    yield parent / "state"
    shutil.rmtree(parent, ignore_errors=True)


def sql(url: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def _named(server: EmbeddedPostgres, name: str) -> str:
    return server.url.rsplit("/", 1)[0] + f"/{name}"


def _database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    sql(server.url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _named(server, name)
    sql(server.url, f"DROP DATABASE {name} WITH (FORCE)")
