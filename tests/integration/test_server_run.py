"""The server as a process: it records, leads, answers, survives its databases' absence, and goes when told."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from tests.integration.records_events import STREAM, accepted, ended, push, workload
from tests.integration.test_records_recorder import COUNTED, TOTALS, rows, run
from tests.waiting import wait_until
from windrow import logs
from windrow.broker.events import new_id
from windrow.local.servers import EmbeddedRedis
from windrow.server import main
from windrow.settings import Settings


class Server:
    """One `python -m windrow.server`."""

    def __init__(self, folder, redis_url, database_url, **env):
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"REDIS_URL": redis_url, "DATABASE_URL": database_url, "WINDROW_STATE": str(folder), **env}
        self.announced = folder / "server.json"
        self.log = folder / "server.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "windrow.server"], env={**os.environ, **settings}, stdout=log, stderr=log
            )

    @property
    def url(self):
        """Where it listens, once it does."""
        # Generous: it imports a lot, and other tests may keep the machine busy.
        wait_until(self.announced.exists, timeout=60, what=f"server.json of {self.process.args}")
        return json.loads(self.announced.read_text())["url"]

    def get(self, path, status=200):
        """What it answers: JSON, or text for /metrics."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                body, code = answer.read().decode(), answer.status
        except urllib.error.HTTPError as error:
            body, code = error.read().decode(), error.code
        assert code == status, body
        return body if path in ("/metrics", "/livez", "/readyz") else json.loads(body)

    def leads(self):
        """Whether it says that it leads."""
        return self.get("/healthz")["leader"]

    def stop(self):
        """SIGTERM; its exit code and how long it took (s)."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10), time.monotonic() - began

    def kill(self):
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        self.announced.unlink(missing_ok=True)


@pytest.fixture
def start(tmp_path, redis_url, migrated_database_url):
    """Start a server on the test's Redis and database (or another Redis); all are ended with the test."""
    servers = []

    def begin(name="a", redis_url=redis_url, **env):
        server = Server(tmp_path / name, redis_url, migrated_database_url, **env)
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.kill()


def exact(database_url):
    """What the totals say, and what SQL counts."""

    async def use(engine):
        return sorted(await rows(engine, TOTALS)), sorted(await rows(engine, COUNTED))

    return run(database_url, use)


def recorded(redis_client):
    """Whether all that is in the stream is on record."""
    return redis_client.xlen(STREAM) == 0


def test_a_stream_goes_on_record_and_can_be_read(start, redis_client, migrated_database_url):
    """Events become rows, totals, metrics and answers; the stream is left empty; the three sources agree."""
    server = start()
    execution, attempt = new_id(), new_id()
    push(
        redis_client,
        [accepted(execution), ended(execution, attempt, "failed", "failed", error="E", log="one\n"), *workload(200, 9)],
    )
    redis_client.xadd(STREAM, {"v": "1", "e": "no JSON"})
    redis_client.xadd(STREAM, {"v": "99", "e": "[]"})
    wait_until(lambda: recorded(redis_client), timeout=60, what="the stream to be recorded")
    totals, counted = exact(migrated_database_url)
    assert totals == counted
    assert server.get("/api/lag") == {"entries": 0, "seconds": 0.0}
    found = server.get(f"/api/executions/{execution}")
    assert (found["state"], found["attempts"][0]["id"], found["message_bytes"]) == ("failed", attempt, 2)
    assert "log" not in found["attempts"][0], "an execution is answered without what it logged"
    assert found["attempts"][0]["log_bytes"] == 4
    assert [(one["id"], one["log"]) for one in server.get(f"/api/executions/{execution}/log")] == [(attempt, "one\n")]
    assert server.get("/api/executions?state=failed&queue=default&limit=1")[0]["state"] == "failed"
    assert {queue["queue"] for queue in server.get("/api/queues")} >= {"default", "high_priority", "celery"}
    metrics = server.get("/metrics")
    scraped = {
        (sample.labels["queue"], sample.labels["task"], sample.labels["state"]): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "windrow_executions_finished_total" and sample.value
    }
    assert scraped == {row[1:4]: row[4] for row in totals if row[0] == "finished"}
    assert "windrow_leader 1.0" in metrics
    assert "windrow_records_dropped_total 2" in metrics
    assert server.get("/sd")[0]["targets"] == [server.url.removeprefix("http://")]
    for path, status, sentence in BAD_QUESTIONS:
        assert sentence in server.get(path, status)["error"]


BAD_QUESTIONS = [
    ("/api/executions?limit=many", 400, "limit must be a number"),
    ("/api/executions?state=done", 400, "state must be one of ready"),
    ("/api/executions/nobody", 404, "no execution has the id"),
    ("/api/executions/nobody/log", 404, "no execution has the id"),
    ("/api/nothing", 404, "Not Found"),
]


def test_it_stops_within_two_seconds_and_leaves_no_address_behind(start, redis_client):
    """SIGTERM: the batch is finished, the lead given up at once, exit code 0."""
    server = start()
    wait_until(server.leads, timeout=60, what="the lead")
    push(redis_client, workload(500, 5))
    code, seconds = server.stop()
    assert code == 0, server.log.read_text()
    assert seconds < 5  # 2 on a machine that does nothing else
    assert not server.announced.exists()
    assert redis_client.get("windrow:leader") is None


def test_one_of_two_leads_and_the_other_takes_over(start, redis_client):
    """Only the leader exports what must not be counted twice; when it goes, the other leads and records."""
    first = start("a")
    wait_until(first.leads, timeout=60, what="the lead")
    second = start("b")
    assert "windrow_attempts_total" not in second.get("/metrics")
    assert "windrow_leader 0.0" in second.get("/metrics")
    first.stop()
    wait_until(second.leads, what="the other to lead")
    push(redis_client, workload(10, 2))
    wait_until(lambda: recorded(redis_client), what="records by the new leader")


def test_killed_while_it_records_each_event_counts_once(start, redis_client, migrated_database_url):
    """kill -9 in the middle of batches, again and again: the totals are exact in the end."""
    told = workload(3_000, 11)
    for n in range(2):
        push(redis_client, told[n * len(told) // 2 : (n + 1) * len(told) // 2], together=2)
        length = redis_client.xlen(STREAM)
        server = start(f"s{n}")
        wait_until(lambda before=length: redis_client.xlen(STREAM) < before, timeout=60, what="a first batch", pause=0.001)
        server.kill()
        redis_client.delete("windrow:leader")  # what its lease does in 8 s
    start("last")
    wait_until(lambda: recorded(redis_client), timeout=60, what="the rest")
    totals, counted = exact(migrated_database_url)
    assert totals == counted

    async def use(engine):
        return await rows(engine, "SELECT count(*) FROM windrow.executions")

    assert run(migrated_database_url, use) == [(3_000,)]


def test_a_stream_that_lost_its_tail_is_read_from_its_beginning(start, redis_client, migrated_database_url):
    """Entries whose ids lie before the position on record, in a stream that ends before it, are new or count nothing."""
    told = workload(40, 6)
    push(redis_client, told)

    async def far_ahead(engine):
        async with engine.begin() as connection:
            await connection.execute(
                text("INSERT INTO windrow.recorder_positions VALUES ('windrow:events', '9000000000000-0')")
            )

    run(migrated_database_url, far_ahead)
    start()
    wait_until(lambda: recorded(redis_client), timeout=60, what="the stream to be recorded")
    totals, counted = exact(migrated_database_url)
    assert totals == counted
    assert totals


def test_while_postgresql_is_away_records_wait_and_then_catch_up(start, redis_client, migrated_database_url, postgres_server):
    """The server goes on leading, says what is away, and records all of it when it is back."""
    name = migrated_database_url.rsplit("/", 1)[1]

    async def admin(*statements):
        connection = await asyncpg.connect(postgres_server.url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    server = start()
    push(redis_client, workload(20, 1))
    wait_until(lambda: recorded(redis_client), timeout=60, what="the first records")
    asyncio.run(
        admin(
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
    )
    push(redis_client, workload(50, 2))
    wait_until(lambda: server.get("/healthz")["database"] != "ok", what="the server to notice")
    assert server.leads()
    assert server.get("/api/lag")["entries"] > 0
    assert "can't be read now" in server.get("/api/executions", 503)["error"]
    metrics = server.get("/metrics")
    (lag,) = [line for line in metrics.splitlines() if line.startswith("windrow_records_lag_seconds ")]
    assert float(lag.split()[1]) > 0, "how far the records are behind"
    assert "windrow_attempts_total" not in metrics
    asyncio.run(admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    wait_until(lambda: recorded(redis_client), timeout=15, what="the records to catch up")
    totals, counted = exact(migrated_database_url)
    assert totals == counted
    assert server.get("/healthz")["database"] == "ok"


def test_redis_away_is_waited_for(start, state_dir):
    """The server says so, stays up, and leads and records when Redis is back."""
    own = EmbeddedRedis(state_dir)
    url = own.start()
    try:
        server = start(redis_url=url)
        wait_until(server.leads, timeout=60, what="the lead")
        own.stop()
        wait_until(lambda: server.get("/healthz")["redis"] != "ok", what="the server to notice")
        # An outage must neither restart nor unready the servers.
        assert [server.get("/livez"), server.get("/readyz")] == ["ok\n", "ok\n"]
        assert "Redis can't be read now" in server.get("/api/queues", 503)["error"]
        assert own.start() == url
        wait_until(lambda: server.get("/healthz")["redis"] == "ok", what="Redis to be used again")
        with redis.Redis.from_url(url) as client:
            push(client, workload(10, 3))
            wait_until(lambda: recorded(client), timeout=15, what="records")
        assert server.process.poll() is None
    finally:
        own.stop()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"redis_url": None}, "REDIS_URL must say where Redis is"),
        ({"database_url": None}, "DATABASE_URL must say where PostgreSQL is"),
        ({"database_url": "sqlite:///x"}, "DATABASE_URL must be a PostgreSQL URL"),
        ({"specs": Path("nowhere.yaml")}, "nowhere.yaml"),
    ],
)
def test_what_it_can_not_start_with_is_one_sentence(monkeypatch, capsys, change, sentence):
    """No URL, a wrong one, specs that can't be read: exit code 2 and what to do, before anything is opened."""
    monkeypatch.setattr(logs, "configure", lambda log_format: None)
    settings = Settings(redis_url="redis://127.0.0.1:1/0", database_url="postgresql://nobody@127.0.0.1:1/x")
    assert main.run(replace(settings, **change)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_a_port_in_use_is_said_with_its_holder(tmp_path, start, redis_url, migrated_database_url):
    """Another Windrow server is named; nothing else is started."""
    first = start()
    env = {**os.environ, "REDIS_URL": redis_url, "DATABASE_URL": migrated_database_url, "WINDROW_STATE": str(tmp_path / "no")}
    env["WINDROW_PORT"] = first.url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "windrow.server"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done
    (line,) = done.stderr.splitlines()
    assert f"must be free, but another Windrow server (pid {first.process.pid}) listens on it" in line
    assert first.leads() or first.process.poll() is None
