"""What an attempt used, measured where it ran: peak memory and CPU time; and when a process is replaced for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.apps.memory import MIB, app
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.broker import events

APP = "tests.apps.memory:app"
LARGE = 300
"""MiB that no worker process holds by itself."""


@pytest.fixture
def work(redis_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Work]:
    """A queue with the parametrized lines in its spec, the app installed as a producer here."""
    with working(redis_url, tmp_path, app=APP, more=getattr(request, "param", "")) as made:
        producer(redis_url, app)
        yield made


def with_spec(*lines: str) -> Any:
    return pytest.mark.parametrize("work", ["".join(f"  {line}\n" for line in lines)], indirect=True)


def send(name: str, *args: Any, **kwargs: Any) -> Any:
    return app.tasks[f"tests.apps.memory.{name}"].apply_async(args, kwargs, queue="work")


def ended(work: Work, count: int) -> list[events.Event]:
    """The `ended` events of attempts, once there are so many; each under its task's short name."""
    found: list[events.Event] = []

    def look() -> bool:
        found[:] = [event for event in work.events() if event["k"] == "ended" and event["attempt"]]
        return len(found) >= count

    wait_until(look, 30, f"{count} attempts have ended")
    return [{**event, "task": event["task"].rpartition(".")[2]} for event in found]


def peaks(told: list[events.Event], task: str) -> list[float | None]:
    """In MiB."""
    return [event["peak"] and event["peak"] / MIB for event in told if event["task"] == task]


def recycles(work: Work) -> dict[str, float]:
    """`windrow_worker_recycles_total` by reason, of the one worker; nothing while its process is replaced."""
    (about,) = work.client.hvals(work.client.keys_of.workers)
    try:
        with urlopen(f"http://{json.loads(about)['metrics']}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except HTTPError:
        return {}
    rows = [line.split() for line in text.splitlines() if line.startswith("windrow_worker_recycles_total{")]
    return {name.partition('reason="')[2].rstrip('"}'): float(value) for name, value in rows}


def test_a_peak_is_the_attempts_own(work: Work) -> None:
    """What one attempt held is its peak, though it has given it back by its end, and not that of the next in its process."""
    work.start(concurrency=1)
    for name, args in (("idle", ()), ("hold", (LARGE,)), ("idle", ())):
        send(name, *args)
    told = ended(work, 3)
    assert len({event["pid"] for event in told}) == 1
    before, after = peaks(told, "idle")
    (held,) = peaks(told, "hold")
    assert before
    assert after
    assert held
    assert 10 < before < LARGE > after
    assert before + LARGE * 0.9 < held < before + LARGE * 1.2


@with_spec("timeLimits: {hard: 2s}", "maxRecoveries: 0")
def test_an_attempt_whose_process_was_ended_has_a_peak(work: Work) -> None:
    """Killed by the kernel or a person, at the hard limit, by a revocation: the peak is known up to then."""
    work.start(concurrency=1)
    send("hold", LARGE, die=True)
    (killed,) = ended(work, 1)
    send("hold", LARGE, 30)
    late = ended(work, 2)[-1]
    terminated = send("hold", LARGE, 1.5)
    wait_until(lambda: sum(event["k"] == "started" for event in work.events()) == 3, 20, "it runs")
    app.control.revoke(terminated.id, terminate=True, signal="SIGKILL")
    told = [killed, late, ended(work, 3)[-1]]
    assert [event["outcome"] for event in told] == ["killed", "timed_out", "killed"]
    assert [event["peak"] > LARGE * MIB for event in told[:2]] == [True, True]
    assert told[2]["peak"] is not None


def test_cpu_time_is_what_it_computed_not_what_it_waited(work: Work) -> None:
    """The CPU seconds of an attempt: near its run time when it computes, near nothing when it waits."""
    work.start(concurrency=1)
    send("compute", 0.3)
    send("idle", 0.3)
    computed, waited = ended(work, 2)
    assert 0.3 <= computed["cpu"] < 0.5
    assert waited["cpu"] < 0.1


@with_spec("recycle: {tasks: 3}")
def test_a_child_replaced_for_its_tasks_is_counted_so(work: Work) -> None:
    """`recycle.tasks` on prefork: after so many tasks another child; both reasons stand at zero before."""
    work.start(concurrency=1)
    assert recycles(work) == {"tasks": 0, "memory": 0}
    for _ in range(7):
        send("idle")
    told = ended(work, 7)
    assert len({event["pid"] for event in told}) == 3
    wait_until(lambda: recycles(work) == {"tasks": 2, "memory": 0}, 5, "two are counted")


@with_spec(f"recycle: {{memory: {LARGE}Mi}}", "timeLimits: {hard: 2s}")
def test_a_child_is_replaced_for_the_memory_that_it_keeps(work: Work) -> None:
    """`recycle.memory` on prefork: what a task held and gave back is no reason, nor is a hard limit; what it left behind is."""
    work.start(concurrency=1)
    send("hold", LARGE)
    send("idle")
    send("keep", LARGE)
    send("idle")
    send("idle", 30)
    send("idle")
    told = ended(work, 6)
    pids = [event["pid"] for event in told]
    assert [pid == before for before, pid in pairwise(pids)] == [True, True, False, True, False]
    wait_until(lambda: recycles(work) == {"tasks": 0, "memory": 1}, 5, "one is counted")


IN_PROCESS = pytest.mark.parametrize(
    ("work", "prefix"), [("  pool: threads\n", ""), ("  pool: asyncio\n", "await_")], indirect=["work"]
)


@IN_PROCESS
def test_attempts_that_share_a_process_have_its_peak_of_their_own_time(work: Work, prefix: str) -> None:
    """Pools `threads` and `asyncio`: a neighbour's memory is in the peak, what was before an attempt is not."""
    work.start(concurrency=2)
    send(f"{prefix}idle")
    ended(work, 1)
    send(f"{prefix}idle", 1.0)
    send(f"{prefix}hold", LARGE, 0.1)
    ended(work, 3)
    send(f"{prefix}idle")
    told = ended(work, 4)
    assert len({event["pid"] for event in told}) == 1
    before, beside, after = peaks(told, f"{prefix}idle")
    (held,) = peaks(told, f"{prefix}hold")
    assert [peak is not None and peak > LARGE for peak in (before, held, beside, after)] == [False, True, True, False]
    assert ["cpu" in event for event in told] == [not prefix] * 4


@pytest.mark.parametrize(
    ("work", "name"),
    [(f"  pool: {pool}\n  maxRecoveries: 0\n  timeLimits: {{hard: 1s}}\n", name)
     for pool, name in (("threads", "hold_in_c"), ("asyncio", "await_block"))],
    indirect=["work"],
)  # fmt: skip
def test_what_a_guarded_process_held_at_its_end_is_known(work: Work, name: str) -> None:
    """Its process died, or was ended past a hard limit, also while its loop stood still: the kernel knows its peak."""
    work.start(concurrency=1)
    send("hold", LARGE, die=True)
    (killed,) = ended(work, 1)
    send(name, LARGE, 30)
    late = ended(work, 2)[-1]
    assert (killed["outcome"], late["outcome"]) == ("killed", "timed_out")
    assert killed["peak"] > LARGE * MIB < late["peak"]


@IN_PROCESS
def test_a_terminated_attempt_of_a_shared_process_has_a_peak(work: Work, prefix: str) -> None:
    """`revoke(terminate=True)`: what its process held up to then."""
    work.start(concurrency=1)
    call = send(f"{prefix}idle", 30)
    wait_until(lambda: any(event["k"] == "started" for event in work.events()), 20, "it runs")
    app.control.revoke(call.id, terminate=True)
    (told,) = ended(work, 1)
    assert told["outcome"] == "killed"
    assert 10 * MIB < told["peak"] < LARGE * MIB


@pytest.mark.parametrize(
    "work", [f"  pool: {pool}\n  recycle: {{tasks: 4, memory: {LARGE}Mi}}\n" for pool in ("threads", "asyncio")], indirect=True
)
def test_a_guarded_process_is_counted_by_its_reason(work: Work) -> None:
    """The process goes, its count stays: what the next one tells goes on from there."""
    work.start(concurrency=1)
    assert recycles(work) == {"tasks": 0, "memory": 0}
    for times in (1, 2):
        for _ in range(4):
            send("idle")
        ended(work, times * 4)
        wait_until(lambda times=times: recycles(work) == {"tasks": times, "memory": 0}, 10, "it is counted")
    send("keep", LARGE)
    wait_until(lambda: recycles(work) == {"tasks": 2, "memory": 1}, 20, "it is counted: the process looks every 5 s")
