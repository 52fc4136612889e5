"""A worker's port: metrics and probes, the same whatever becomes of the processes under it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.broker import admin
from windrow.broker.observe import workers
from windrow.local.servers import EmbeddedRedis

POOLS = ("prefork", "asyncio", "threads")
each_pool = pytest.mark.parametrize("work", POOLS, indirect=True)
guarded_pools = pytest.mark.parametrize("work", ["asyncio", "threads"], indirect=True)


@pytest.fixture
def work(redis_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Work]:
    with working(redis_url, tmp_path, app="tests.apps.stuck:app", more=f"  pool: {request.param}") as made:
        producer(redis_url, evidence.app)
        yield made


def call(name: str, *args: Any, **options: Any) -> Any:
    return evidence.app.tasks[f"tests.apps.evidence.{name}"].apply_async(args, queue="work", **options)


def port_of(work: Work) -> int:
    (worker,) = workers(work.client)
    return int((worker.metrics or "").rpartition(":")[2])


def ask(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@each_pool
def test_the_port_answers_metrics_and_probes_and_nothing_else(work: Work) -> None:
    """`/metrics`, `/livez` and `/readyz`, by GET and HEAD; no other path, no other method."""
    work.start()
    port = port_of(work)
    assert ask(port, "/livez") == (200, "ok\n")
    assert ask(port, "/readyz") == (200, "ok\n")
    assert call("add", 1, 2).get(timeout=10) == 3
    done = 'windrow_task_attempts_total{outcome="success",queue="work",task="tests.apps.evidence.add"} 1.0'
    wait_until(lambda: done in ask(port, "/metrics")[1], 5, "the attempt is counted")
    status, text = ask(port, "/metrics?name[]=windrow_worker_slots")
    assert (status, [line.partition("{")[0] for line in text.splitlines() if line[0] != "#"]) == (
        200,
        ["windrow_worker_slots"] * 2,
    )
    assert ask(port, "/readyz", "HEAD") == (200, "")
    assert ask(port, "/")[0] == ask(port, "/metrics/more")[0] == 404
    assert ask(port, "/metrics", "POST")[0] == ask(port, "/livez", "DELETE")[0] == 405


@each_pool
def test_a_drained_worker_is_not_ready_until_it_takes_work_again(work: Work) -> None:
    """Asked to drain it stays ready while a task runs; drained it is not; withdrawn, it is and takes what waits at once."""
    process = work.start(concurrency=2)
    port, worker = port_of(work), work.id_of(process) or ""
    call("work", 1.0)
    wait_until(work.lines, 10, "the task runs")
    admin.ask_drain(work.client, [worker])
    waiting = call("add", 1, 2)
    time.sleep(0.3)
    assert ask(port, "/readyz")[0] == 200
    wait_until(lambda: len(work.lines()) == 2, 5, "the task ends")
    ended = time.monotonic()
    wait_until(lambda: workers(work.client)[0].drain == "drained", 1, "it says that it drained")
    wait_until(lambda: ask(port, "/readyz")[0] == 503, 1, "it is not ready")
    assert time.monotonic() - ended < 0.6
    assert ask(port, "/readyz")[1] == "the worker has drained, as it was asked\n"
    assert ask(port, "/livez")[0] == 200
    assert not waiting.ready()
    time.sleep(1.2)  # past its next look by itself: nothing wakes it but the withdrawal
    admin.withdraw_drain(work.client, [worker])
    withdrawn = time.monotonic()
    wait_until(lambda: ask(port, "/readyz")[0] == 200, 2, "it is ready again")
    assert waiting.get(timeout=2) == 3
    assert time.monotonic() - withdrawn < 0.6


@pytest.mark.parametrize("work", ["prefork"], indirect=True)
def test_a_withdrawn_drain_is_noticed_without_client_tracking(work: Work, redis_client: redis.Redis) -> None:
    """Where Redis tells a worker of no change, it looks by itself within a second or so."""
    redis_client.execute_command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", "-client|tracking")
    try:
        work.as_user = re.sub(r"//:[^@]*@", "//plain:secret@", work.url)
        process = work.start(concurrency=1)
        port, worker = port_of(work), work.id_of(process) or ""
        admin.ask_drain(work.client, [worker])
        wait_until(lambda: ask(port, "/readyz")[0] == 503, 2, "it is not ready")
        waiting = call("add", 1, 2)
        admin.withdraw_drain(work.client, [worker])
        assert waiting.get(timeout=2) == 3
        assert ask(port, "/readyz")[0] == 200
    finally:
        work.stop()
        redis_client.execute_command("ACL", "DELUSER", "plain")


@each_pool
def test_a_stopping_worker_is_alive_and_not_ready(work: Work) -> None:
    """From SIGTERM on nothing new is for it; what runs may end in its grace."""
    process = work.start(concurrency=1)
    port = port_of(work)
    call("work", 2.0)
    wait_until(work.lines, 10, "the task runs")
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: ask(port, "/readyz") == (503, "the worker is stopping\n"), 1, "it is not ready")
    assert ask(port, "/livez")[0] == 200
    assert process.wait(10) == 0
    assert len(work.lines()) == 2


@pytest.mark.parametrize("pool", ["prefork", "asyncio"])
def test_without_redis_a_worker_is_ready_and_alive(state_dir: Path, tmp_path: Path, pool: str) -> None:
    """A Redis that is away makes no worker unready and restarts none, when it starts, runs, or even stands still."""
    server = EmbeddedRedis(state_dir)
    url = server.start()
    port = free_port()
    assert server.process is not None
    try:
        server.process.kill()
        server.process.wait()
        with working(url, tmp_path, app="tests.apps.stuck:app", more=f"  pool: {pool}") as work:
            process = work.start(wait=False, env={"WINDROW_WORKER_METRICS_PORT": str(port)})
            wait_until(lambda: "Cannot connect" in work.log(), 20, "the worker has looked for Redis")
            assert ask(port, "/readyz")[0] == ask(port, "/livez")[0] == 200
            assert server.revive()
            server.ready()
            wait_until(lambda: work.id_of(process), 20, "the worker registers")
            control = producer(url, evidence.app).control
            wait_until(lambda: control.inspect(timeout=1).ping(), 10, "the worker answers")
            control.broadcast("stand_still", arguments={"seconds": 60})
            wait_until(lambda: ask(port, "/livez")[0] == 503, 10, "it is at a standstill")
            assert ask(port, "/readyz")[0] == 200
            server.process.kill()
            server.process.wait()
            wait_until(lambda: ask(port, "/livez")[0] == 200, 5, "a restart would not help it")
            assert ask(port, "/readyz")[0] == 200
    finally:
        server.stop()


@pytest.mark.parametrize("work", ["asyncio"], indirect=True)
def test_a_coroutine_that_holds_the_loop_costs_no_restart(work: Work) -> None:
    """Until its hard limit the loop is the task's; the guard ends it then, and the next process serves on."""
    process = work.start(concurrency=1)
    port = port_of(work)
    (child,) = work.children(process)
    call("block_the_loop", time_limit=3.5)
    answers = []
    wait_until(lambda: answers.append(ask(port, "/livez")) or work.children(process) not in ([], [child]), 15, "it is replaced")
    assert {status for status, _ in answers} == {200}
    assert call("add", 1, 2).get(timeout=10) == 3


@guarded_pools
def test_the_port_outlives_the_process_that_runs_tasks(work: Work) -> None:
    """A fixed port survives each replacement: probes are answered all the time, metrics as soon as the next one is there."""
    port = free_port()
    process = work.start(concurrency=1, env={"WINDROW_WORKER_METRICS_PORT": str(port)})
    for _ in range(3):
        (child,) = work.children(process)
        assert ask(port, "/metrics")[0] == 200
        os.kill(child, signal.SIGSTOP)
        asked = socket.create_connection(("127.0.0.1", port), timeout=4)
        asked.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")  # nobody can answer while the process stands
        assert ask(port, "/livez")[0] == ask(port, "/readyz")[0] == 200
        os.kill(child, signal.SIGKILL)
        assert asked.recv(100)[:13] in (b"HTTP/1.0 503 ", b"HTTP/1.0 200 ")  # at its end at once, or by the next one
        asked.close()
        wait_until(lambda gone=child: work.children(process) not in ([], [gone]), 10, "the next process is there")
        assert ask(port, "/livez")[0] == ask(port, "/readyz")[0] == 200
        wait_until(lambda: ask(port, "/metrics")[0] == 200, 5, "its metrics are there")
    assert call("add", 1, 2).get(timeout=10) == 3
    assert port_of(work) == port


def test_a_worker_at_a_standstill_is_not_alive(redis_url: str, tmp_path: Path) -> None:
    """A loop that something holds although nothing runs is what a restart is for; it is alive again when the loop turns."""
    with working(redis_url, tmp_path, app="tests.apps.stuck:app") as work:
        control = producer(redis_url, evidence.app).control
        work.start()
        port = port_of(work)
        wait_until(lambda: control.inspect(timeout=1).ping(), 10, "the worker answers")
        control.broadcast("stand_still", arguments={"seconds": 5})
        wait_until(lambda: ask(port, "/livez")[0] == 503, 4.5, "it is not alive")
        assert re.fullmatch(r"the worker's event loop has stood still for \d s, though Redis answers\n", ask(port, "/livez")[1])
        wait_until(lambda: ask(port, "/livez")[0] == 200, 5, "it is alive again")
