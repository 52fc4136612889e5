"""`windrow recommend`: from what real workers' attempts used, by way of the records, to what a spec should say."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.apps.memory import MIB, app
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.broker import events
from windrow.cli.group import run
from windrow.queues.load import parse_specs
from windrow.records.engine import make_engine
from windrow.records.recorder import Recorder
from windrow.records.usage import most_at_once, usage

Windrow = Callable[..., tuple[int, str]]
HELD = 100
"""MiB that some of the attempts hold."""


@pytest.fixture
def windrow(
    redis_url: str,
    migrated_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Windrow:
    """Runs a command line: its exit code, and what it said."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("DATABASE_URL", migrated_database_url)
    monkeypatch.chdir(tmp_path)

    def call(line: str) -> tuple[int, str]:
        capfd.readouterr()
        code = run(line.split())
        told = capfd.readouterr()
        return code, told.out if code == 0 else told.err

    return call


def record(url: str, told: list[tuple[str, list[events.Event]]]) -> None:
    async def apply() -> None:
        engine = make_engine(url)
        try:
            await Recorder(engine).apply(told)
        finally:
            await engine.dispose()

    asyncio.run(apply())


def made(queue: str, count: int, **more: Any) -> list[tuple[str, list[events.Event]]]:
    """Attempts that ended, a second apart, as events."""
    now = datetime.now(UTC).timestamp()
    told = []
    for number in range(count):
        event = {
            "k": "ended", "id": events.new_id(), "t": now + number, "attempt": events.new_id(), "outcome": "success",
            "state": "success", "queue": queue, "task": "pay", "started": now + number, "run": 0.5, "wait": 0.1, "worker": "w",
            "pid": 7, "peak": (60 + number) * MIB, "cpu": 0.25,
        }  # fmt: skip
        told.append((f"{number + 1}-0", [{**event, **more}]))
    return told


def worked(work: Work, count: int) -> list[tuple[str, list[events.Event]]]:
    """The events of a real worker, once so many attempts have ended."""
    wait_until(lambda: len(work.finals()) >= count, 60, "all have ended")
    return [(entry.decode(), events.decode(fields)) for entry, fields in work.client.xrange(work.client.keys_of.events)]


@pytest.fixture
def work(redis_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Work]:
    more = f"  pool: {getattr(request, 'param', 'prefork')}\n"
    with working(redis_url, tmp_path, app="tests.apps.memory:app", more=more) as started:
        producer(redis_url, app)
        yield started


def send(name: str, times: int, *args: Any) -> None:
    for _ in range(times):
        app.tasks[f"tests.apps.memory.{name}"].apply_async(args, queue="work")


def test_a_real_workers_attempts_lead_to_a_spec(work: Work, windrow: Windrow, migrated_database_url: str) -> None:
    """Two children that compute a part of the time, some attempts with 100 MiB: seen, and turned into a spec that is good."""
    work.start(concurrency=2)
    send("half", 50, 0.02, 0.04)
    send("hold", 10, HELD)
    record(migrated_database_url, worked(work, 60))
    code, text = windrow("recommend work --json")
    assert code == 0
    (found,) = json.loads(text)
    assert (found["attempts"], found["measured"], found["shared"], found["at_once"]) == (60, 60, False, 2)
    assert found["run_p50"] > 0.05
    assert 10 * MIB < found["peak_least"] <= found["peak_p50"] < HELD * MIB < found["peak_p99"] <= found["peak_max"]
    assert 0.02 < found["busy"] < 0.7  # on a busy machine they wait for a core too
    advice = {one["key"]: one["value"] for one in found["advice"]}
    assert 1 <= advice["concurrency"] <= 16
    assert advice["timeLimits.soft"] == "30s"
    code, text = windrow("recommend work --yaml")
    (spec,) = parse_specs(text)
    assert (spec.name, spec.spec.queue, spec.spec.concurrency) == ("work", "work", advice["concurrency"])
    limits = spec.spec.template.resources["limits"]
    assert (limits["memory"], spec.spec.time_limits.hard) == (advice["template.resources.limits.memory"], 40)


@pytest.mark.parametrize("work", ["threads", "asyncio"], indirect=True)
def test_attempts_that_share_a_process_are_seen_to(work: Work, windrow: Windrow, migrated_database_url: str) -> None:
    """Overlapping attempts of one process: its peak counts once; coroutines have no CPU time of their own."""
    work.start(concurrency=6)
    coroutines = "asyncio" in work.more
    send("await_idle" if coroutines else "idle", 60, 0.1)
    record(migrated_database_url, worked(work, 60))
    (found,) = json.loads(windrow("recommend --json")[1])
    assert (found["shared"], found["at_once"], found["measured"]) == (True, 6, 60)
    assert (found["busy"] is None) == coroutines


def test_only_what_was_asked_for(windrow: Windrow, migrated_database_url: str) -> None:
    """By queue, by days; percentiles over what ended by itself; what timed out or was killed is counted apart."""
    record(migrated_database_url, made("orders", 100))
    for number, outcome in enumerate(("timed_out", "killed", "killed")):
        ((_, told),) = made("orders", 1, outcome=outcome, state="failed", run=99.0, worker=f"w{number}")
        record(migrated_database_url, [(f"{200 + number}-0", told)])
    record(migrated_database_url, [(f"30{entry}", told) for entry, told in made("mail", 3)])
    for number, (_, (event,)) in enumerate(made("mixed", 5)):  # three coroutines, two threads
        event["cpu"] = None if number < 3 else 0.25
        record(migrated_database_url, [(f"{400 + number}-0", [event])])

    async def ask(since: datetime, *queues: str) -> list[Any]:
        engine = make_engine(migrated_database_url)
        try:
            async with engine.connect() as connection:
                return await usage(connection, since, queues)
        finally:
            await engine.dispose()

    now = datetime.now(UTC)
    (orders,) = asyncio.run(ask(now - timedelta(hours=1), "orders"))
    assert (orders.attempts, orders.timed_out, orders.killed, orders.measured) == (103, 1, 2, 103)
    assert (orders.run_p50, orders.run_p99, orders.run_max, orders.busy) == (0.5, 0.5, 0.5, pytest.approx(103 * 0.25 / 347))
    assert (orders.peak_least, orders.peak_max, orders.shared, orders.at_once) == (60 * MIB, 159 * MIB, False, 1)
    found = asyncio.run(ask(now - timedelta(hours=1)))
    assert [(one.queue, one.busy and round(one.busy, 1)) for one in found] == [("mail", 0.5), ("mixed", None), ("orders", 0.1)]
    assert asyncio.run(ask(now + timedelta(hours=1))) == []
    assert "at least 50 attempts must be on record to recommend from, and 3 are" in windrow("recommend mail")[1]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("nobody", "QUEUE must have attempts on record in the last 7 days, and 'nobody' has none; --days looks further back"),
        ("--days 0", "Invalid value for '--days': 0 is not in the range 1<=x<=365."),
        ("--cpus none", "Invalid value for '--cpus': 'none' is not a valid float range."),
        ("--memory 2", "--memory must be an amount of memory such as 512Mi or 2Gi, not '2'"),
        ("--json --yaml", "what is printed must be --json or --yaml, not both"),
    ],
)
def test_a_wrong_question_is_answered_in_a_sentence(windrow: Windrow, line: str, sentence: str) -> None:
    """One line on standard error, and exit code 2."""
    assert windrow(f"recommend {line}") == (2, sentence + "\n")


def test_an_empty_record_is_said_to_be_empty(windrow: Windrow) -> None:
    """Without a queue asked for, nothing on record is no mistake."""
    assert windrow("recommend --days 1") == (0, "no attempt of the last 1 days is on record; --days looks further back\n")
    assert windrow("recommend --json") == (0, "[]\n")


@pytest.mark.parametrize(
    ("spans", "most"),
    [
        ([], 1),
        ([("a", 0, 1)], 1),
        ([("a", 0, 1), ("b", 0, 1)], 1),
        ([("a", 0, 1), ("a", 0.5, 2)], 2),
        ([("a", 0, 1), ("a", 0.9995, 2)], 1),
        ([("a", 0, 9), ("a", 1, 2), ("a", 3, 4), ("b", 0, 9)], 2),
        ([("a", 0, 0.001), ("a", 0, 0.001)], 1),
    ],
)
def test_what_overlaps_ran_at_once(spans: list[tuple[str, float, float]], most: int) -> None:
    """By more than clocks may differ; of one worker, or one process."""
    assert most_at_once(spans) == most


PAGE = (Path(__file__).parents[2] / "docs/recommend.md").read_text(encoding="utf-8")


def test_the_pages_commands_run_and_say_what_it_shows(windrow: Windrow, migrated_database_url: str) -> None:
    """docs/recommend.md: every command of it is answered, and its example is what these attempts lead to."""
    attempts = made("orders", 1000)
    for number, (_, (event,)) in enumerate(attempts):  # two children in turn, one attempt with ten times the others' memory
        started = event["started"] - number * 0.4
        run = 0.4 + number / 2000
        event |= {"started": started, "t": started + run, "run": run, "cpu": run * 0.3, "pid": 7 + number % 2}
        event["peak"] = (60 + number // 20) * MIB if number != 500 else 850 * MIB
    record(migrated_database_url, attempts)
    (commands,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].split() for line in commands.splitlines()]
    assert {line[0] for line in lines} == {"windrow"}
    told = [windrow(" ".join(line[1:])) for line in lines]
    assert [code for code, _ in told] == [0] * len(lines)
    assert told[0][1] == shown
