"""The embedded servers: private, durable, gone with whoever started them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from tests.waiting import wait_until
from windrow.local.folders import StateInUse
from windrow.local.processes import Identity
from windrow.local.servers import EmbeddedPostgres, EmbeddedRedis, ServerFailed, unprivileged

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL under another account")


def query(url: str, *statements: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


def test_servers_come_back_with_what_they_held(state_dir: Path) -> None:
    """State lives in the folder: after a restart both servers hold it, under the same URLs."""
    with EmbeddedRedis(state_dir) as broker, EmbeddedPostgres(state_dir) as database:
        redis.Redis.from_url(broker.url).set("kept", "yes")
        query(database.url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7) RETURNING n")
        urls = broker.url, database.url
    with EmbeddedRedis(state_dir) as broker, EmbeddedPostgres(state_dir) as database:
        assert (broker.url, database.url) == urls
        assert redis.Redis.from_url(broker.url).get("kept") == b"yes"
        assert query(database.url, "SELECT n FROM kept") == 7


def test_servers_write_through_and_never_evict(state_dir: Path, redis_server: EmbeddedRedis) -> None:
    """A full broker refuses and never forgets; what PostgreSQL committed is on disk."""
    config = redis.Redis.from_url(redis_server.url).config_get("*")
    assert config["maxmemory-policy"] == "noeviction"
    assert (config["appendonly"], config["appendfsync"], config["bind"]) == ("yes", "everysec", "127.0.0.1")
    with EmbeddedPostgres(state_dir) as database:
        assert query(database.url, "SHOW fsync") == "on"
        assert query(database.url, "SHOW listen_addresses") == "127.0.0.1"
        assert query(database.url, "SHOW password_encryption") == "scram-sha-256"


def test_nobody_is_served_without_the_password(redis_server: EmbeddedRedis, postgres_server: EmbeddedPostgres) -> None:
    """Other people of this machine can connect to 127.0.0.1, and get nothing without the generated password."""
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=redis_server.port).ping()
    with pytest.raises(asyncpg.InvalidPasswordError):
        query(postgres_server.url.replace(postgres_server.password, "guess"), "SELECT 1")


def test_the_password_is_for_its_owner_alone(
    servers_dir: Path, redis_server: EmbeddedRedis, postgres_server: EmbeddedPostgres
) -> None:
    """Passwords stand in files of mode 0600 and on no command line."""
    for server in (redis_server, postgres_server):
        assert server.process is not None
        assert server.password not in " ".join(psutil.Process(server.process.pid).cmdline())
    for name in ("redis.json", "postgres.json", "redis/redis.conf"):
        assert (servers_dir / name).stat().st_mode & 0o777 == 0o600
    for name in ("redis", "postgres", "logs"):
        assert (servers_dir / name).stat().st_mode & 0o077 == 0


def test_a_state_folder_in_use_names_its_holder(servers_dir: Path, redis_server: EmbeddedRedis) -> None:
    """Two servers never write one folder: the second says who holds it."""
    with pytest.raises(StateInUse, match=f"held by process {os.getpid()}"):
        EmbeddedRedis(servers_dir).start()
    redis.Redis.from_url(redis_server.url).ping()


def test_a_server_that_can_not_start_says_why(state_dir: Path) -> None:
    """What PostgreSQL said is in the error, with the log's path."""
    with pytest.raises(ServerFailed, match=r"(?s)no_such_setting.*postgres\.log"):
        EmbeddedPostgres(state_dir, settings={"no_such_setting": "1"}).start()


STARTER = """
import sys, time
from windrow.local.servers import EmbeddedPostgres, EmbeddedRedis
servers = EmbeddedRedis(sys.argv[1]), EmbeddedPostgres(sys.argv[1])
for server in servers:
    server.start()
print(*(server.process.pid for server in servers), flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at the parent's death is Linux's")
def test_servers_die_with_a_killed_parent(state_dir: Path) -> None:
    """kill -9 of whoever started them leaves no server behind, and the next start takes the folder over."""
    parent = subprocess.Popen([sys.executable, "-c", STARTER, str(state_dir)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    servers = [Identity.of(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(servers) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not any(server.find() for server in servers), what="both servers gone")
    with EmbeddedRedis(state_dir), EmbeddedPostgres(state_dir):
        pass


def test_a_leftover_server_is_stopped_before_its_folder_is_used(state_dir: Path) -> None:
    """Where nothing tells a child of its parent's death, the next start stops the leftover: never two on one folder."""
    first = EmbeddedRedis(state_dir)
    first.start()
    first._lock.release()  # as when its process was killed
    with EmbeddedRedis(state_dir):
        assert first.process is not None
        assert first.process.wait(5) == 0


@pytest.mark.parametrize("kind", [EmbeddedRedis, EmbeddedPostgres])
def test_a_killed_server_is_revived_where_it_was(kind: type[EmbeddedRedis | EmbeddedPostgres], state_dir: Path) -> None:
    """Everybody knows the URL: the one that takes its place has the same, and what it held."""
    with kind(state_dir) as server:
        url = server.url
        if isinstance(server, EmbeddedRedis):
            redis.Redis.from_url(url).set("kept", "yes")
        else:
            query(url, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
        assert server.process is not None
        assert not server.revive()
        server.process.kill()
        server.process.wait()

        def answers() -> bool:
            server.revive()
            return server._answers()

        wait_until(answers, 30, "it answers again", pause=0.2)
        assert server.url == url
        if isinstance(server, EmbeddedRedis):
            assert redis.Redis.from_url(url).get("kept") == b"yes"
        else:
            assert query(url, "SELECT n FROM kept") == 7


@pytest.fixture
def locked_folder(tmp_path: Path) -> Path:
    """A folder that its owner alone may enter."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o700)
    return folder


@AS_ROOT
def test_root_runs_postgres_from_a_locked_checkout(
    locked_folder: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs in a 0700 folder are copied within the reach of the account that runs them; no mode of the folder changes."""
    monkeypatch.setattr(unprivileged, "_BASES", (state_dir.parent / "base",))
    from windrow.local.servers import postgresql

    package = postgresql._package_folder()
    for part in (package / postgresql._INSTALL, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, locked_folder / part.relative_to(package.parent), symlinks=True)
    with EmbeddedPostgres(state_dir, package=locked_folder / package.name) as database:
        assert query(database.url, "SELECT 1") == 1
        assert database.process is not None
        process = psutil.Process(database.process.pid)
        assert process.uids().real != 0
        assert process.exe().startswith(str(state_dir.parent / "base"))
    assert locked_folder.stat().st_mode & 0o777 == 0o700


@AS_ROOT
def test_root_keeps_data_within_reach_when_the_state_folder_is_locked(
    locked_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state folder in a 0700 folder works too: `postgres.json` says where the data is, and a restart finds it."""
    elsewhere = Path(tempfile.mkdtemp(prefix="windrow-base-"))
    try:
        elsewhere.chmod(0o711)
        monkeypatch.setattr(unprivileged, "_BASES", (elsewhere / "base",))
        state = locked_folder / "state"
        with EmbeddedPostgres(state) as database:
            home = database.home
            query(database.url, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
        assert home.is_relative_to(elsewhere)
        with EmbeddedPostgres(state) as database:
            assert database.home == home
            assert query(database.url, "SELECT n FROM kept") == 7
        assert locked_folder.stat().st_mode & 0o777 == 0o700
        assert home.stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree(elsewhere)


@AS_ROOT
def test_data_of_temporary_state_folders_does_not_pile_up(
    locked_folder: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where data lies elsewhere, the next platform removes that of a state folder in /tmp that is gone, no other."""
    monkeypatch.setattr(unprivileged, "_BASES", (state_dir.parent / "base",))
    who = unprivileged.account()
    assert who is not None
    alive, gone = locked_folder / "alive", locked_folder / "gone"
    for state in (alive, gone):
        state.mkdir()
    elsewhere = unprivileged.data_folder(who, Path("/mnt/not mounted"))
    kept, orphan = unprivileged.data_folder(who, alive), unprivileged.data_folder(who, gone)
    gone.rmdir()
    unprivileged.data_folder(who, alive)
    assert [folder.exists() for folder in (elsewhere, kept, orphan)] == [True, True, False]
