"""Workers and servers of this release and of the one before work together: each one's own code, in processes."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from celery import chord

from tests.apps import evidence
from tests.integration.test_records_recorder import rows, run
from tests.integration.test_server_run import exact, recorded, start  # noqa: F401 - a fixture
from tests.releases import ROOT, MissingReleaseError, python_path, unpack_previous
from tests.waiting import wait_until
from tests.workers import producer, working

pytestmark = pytest.mark.slow

NEW = "this release"
OLD = "the previous release"
ATTEMPTS = """
SELECT e.task, s.code, e.recoveries, a.outcome, a.version FROM windrow.executions e
JOIN windrow.execution_statuses s ON s.id = e.status_id JOIN windrow.attempts a ON a.execution_id = e.id
"""
WHERE_FROM = "import windrow, sys; print(windrow.__file__)"
SEND = """
from tests.apps import evidence
import windrow
print(windrow.install(evidence.app).tasks["tests.apps.evidence.work"].apply_async((0.01,), queue="work").id)
"""


@pytest.fixture(scope="session")
def releases(tmp_path_factory):
    """The PYTHONPATH of each release."""
    try:
        old = unpack_previous(tmp_path_factory.mktemp("previous"))
    except MissingReleaseError as error:
        pytest.skip(f"NOT TESTED with the previous release: {error}")
    return {NEW: python_path(ROOT), OLD: python_path(old)}


def _env(releases, release, redis_url):
    return {"PYTHONPATH": releases[release], "REDIS_URL": redis_url}


@pytest.fixture
def serve(releases, start, redis_url):  # noqa: F811
    """Start a server of a release."""

    def begin(release):
        server = start(release.replace(" ", "-"), **_env(releases, release, redis_url))
        wait_until(server.leads, 20, "it leads")
        return server

    return begin


def _python(releases, release, redis_url, code):
    env = {**os.environ, **_env(releases, release, redis_url)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_the_previous_release_is_what_runs(releases, redis_url):
    """Or all the others would compare this release with itself."""
    assert _python(releases, OLD, redis_url, WHERE_FROM) != _python(releases, NEW, redis_url, WHERE_FROM)


@pytest.mark.parametrize(
    ("server", "workers"),
    [(NEW, [OLD]), (OLD, [NEW]), (NEW, [OLD, NEW]), (OLD, [OLD, NEW])],
    ids=["new-server-old-workers", "old-server-new-workers", "new-server-both", "old-server-both"],
)
def test_every_task_runs_once_and_is_on_record(
    releases, serve, server, workers, redis_url, redis_client, migrated_database_url, tmp_path
):
    """Tables as this release has them; calls by producers of both; a success, a retry, a failure, a chord; totals are exact."""
    tasks = producer(redis_url, evidence.app).tasks
    task = {name: tasks[f"tests.apps.evidence.{name}"] for name in ("work", "again", "fail", "add", "total")}
    serving = serve(server)
    with working(redis_url, tmp_path) as work:
        for release in workers:
            work.start(2, env={"PYTHONPATH": releases[release]})
        sent = [task["work"].apply_async((0.02,), queue="work").id for _ in range(60)]
        sent += [_python(releases, release, redis_url, SEND) for release in (OLD, NEW)]
        task["again"].apply_async((2,), queue="work")
        task["fail"].apply_async(("no",), queue="work")
        parts = [task["add"].s(number, number).set(queue="work") for number in range(3)]
        assert chord(parts)(task["total"].s().set(queue="work")).get(timeout=30) == 6
        wait_until(lambda: recorded(redis_client) and _open(migrated_database_url) == 0, 30, "all end")
        work.stop()
        started = Counter(line[3] for line in work.lines() if line[2] == "start")
    assert {started[one] for one in sent} == {1}
    totals, counted = exact(migrated_database_url)
    assert totals == counted
    states = Counter((name.rpartition(".")[2], state) for name, state, *_ in _attempts(migrated_database_url))
    assert states == {
        ("work", "success"): 62, ("again", "success"): 3, ("fail", "failed"): 1, ("add", "success"): 3, ("total", "success"): 1
    }  # fmt: skip
    assert serving.get("/healthz")["leader"]


def _attempts(database_url):
    async def use(engine):
        return await rows(engine, ATTEMPTS)

    return run(database_url, use)


def _open(database_url):
    async def use(engine):
        return (await rows(engine, "SELECT count(*) FROM windrow.executions WHERE status_id <= 4"))[0][0]

    return run(database_url, use)


@pytest.mark.parametrize(("server", "dies", "next_one"), [(NEW, OLD, NEW), (OLD, NEW, OLD)])
def test_what_a_killed_worker_held_goes_to_one_of_the_other_release(
    releases, serve, server, dies, next_one, redis_url, redis_client, migrated_database_url, tmp_path
):
    """The leader gives it back, whatever the dead worker's registration lacks, or has besides."""
    hold = producer(redis_url, evidence.app).tasks["tests.apps.evidence.work"]
    serve(server)
    with working(redis_url, tmp_path) as work:
        worker = work.start(1, env={"PYTHONPATH": releases[dies]})
        sent = hold.apply_async((2,), queue="work").id
        wait_until(lambda: _attempts(migrated_database_url), 20, "its start is on record")
        worker.kill()
        worker.wait()
        work.start(1, env={"PYTHONPATH": releases[next_one]})
        wait_until(lambda: sum(line[2] == "start" for line in work.lines()) == 2, 40, "it starts again")
        wait_until(lambda: _open(migrated_database_url) == 0 and recorded(redis_client), 20, "it is on record")
        work.stop()
        assert [line[2] for line in work.lines() if line[3] == sent] == ["start", "start", "end"]
    told = sorted((state, recoveries, outcome) for _, state, recoveries, outcome, _ in _attempts(migrated_database_url))
    assert told == [("success", 1, "killed"), ("success", 1, "success")]


@pytest.mark.parametrize(("first", "second"), [(OLD, NEW), (NEW, OLD)])
def test_servers_of_two_releases_take_over_from_each_other(
    releases, serve, first, second, redis_url, redis_client, migrated_database_url, tmp_path
):
    """An upgrade, and the way back: what is under way meanwhile is recorded once."""
    hold = producer(redis_url, evidence.app).tasks["tests.apps.evidence.work"]
    leader = serve(first)
    with working(redis_url, tmp_path) as work:
        work.start(2, env={"PYTHONPATH": releases[OLD]})
        work.start(2, env={"PYTHONPATH": releases[NEW]})
        sent = [hold.apply_async((0.05,), queue="work").id for _ in range(100)]
        wait_until(lambda: len(work.lines()) > 20, 20, "some have run")
        leader.stop()
        serve(second)
        wait_until(lambda: recorded(redis_client) and _open(migrated_database_url) == 0, 30, "all end")
        work.stop()
        started = Counter(line[3] for line in work.lines() if line[2] == "start")
    assert started == dict.fromkeys(sent, 1)
    totals, counted = exact(migrated_database_url)
    assert totals == counted
    assert len(_attempts(migrated_database_url)) == 100
