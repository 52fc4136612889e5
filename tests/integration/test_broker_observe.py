"""What `observe` reads, on each server: every figure of a queue, and nothing of queues that hold nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.brokers import Broker
from windrow.broker import admin
from windrow.broker.client import Client, connect
from windrow.broker.observe import held, nothing_in, observe

NOW = 1_700_000_000.0


@pytest.fixture(params=["", "other:"])
def client(request: pytest.FixtureRequest, each_server: Broker) -> Client:
    return connect(each_server.url, key_prefix=request.param)


def put(client: Client, queue: str, *, step: int = 0, at: float | None = None, text: str = "x") -> None:
    headers: dict[str, Any] = {"lang": "py"}
    if at is not None:
        headers["windrow"] = {"v": 1, "id": "0190", "t": at}
    client.lpush(client.keys_of.step(queue, step), json.dumps({"body": text, "headers": headers, "properties": {}}))


def work(client: Client, queue: str, host: str, busy: int, in_flight: int, **more: Any) -> str:
    keys, name = client.keys_of, f"{queue}/{host}/7/abcdefgh"
    described = {"queue": queue, "name": queue, "host": host, "pid": 7, "slots": 2, "metrics": None, "started": 5.0}
    client.hset(keys.workers, name, json.dumps(described))
    client.hset(keys.beats, name, json.dumps({"n": 1, "busy": busy, "taken": in_flight, "done": 4, "run": 0.5, **more}))
    for tag in range(in_flight):
        client.hset(keys.inflight(name), str(tag), "0q\nmessage")
    return name


def test_every_figure_of_a_queue(client: Client) -> None:
    """Each list counts, the oldest of all steps gives the age, and workers come with what is in flight there."""
    keys = client.keys_of
    put(client, "full", at=NOW - 5)
    put(client, "full", step=9, at=NOW - 30.5)
    put(client, "full", step=3, at=NOW - 2)
    put(client, "full", step=6, at=NOW - 1)
    client.zadd(keys.delayed("full"), {"soon": (NOW + 9) * 1000, "late": (NOW + 11) * 1000})
    client.lpush(keys.quarantine("full"), "0full\nmessage")
    asked = work(client, "full", "a", 1, 2)
    work(client, "full", "b", 0, 0, run=1.5)
    work(client, "elsewhere", "c", 2, 2)
    admin.ask_drain(client, [asked])
    admin.set_rate(client, "full", 2.5, 3)
    admin.pin(client, "full", 4)
    (reading,) = observe(client, ["full"], NOW).values()
    assert (reading.ready, reading.delayed, reading.due_soon, reading.in_flight) == (5, 2, 1, 2)
    assert (reading.oldest_age, reading.oldest_is_lower_bound) == (30.5, False)
    assert (reading.paused, reading.paused_by, reading.pinned, reading.rate) == (False, None, 4, (2.5, 3))
    assert [(worker.host, worker.busy, worker.taken, worker.drain) for worker in reading.workers] == [
        ("a", 1, 2, "asked"),
        ("b", 0, 0, None),
    ]
    assert (reading.mean_run, reading.finished, reading.at) == (1.0, 8, NOW)


def test_what_is_in_flight_is_not_what_the_last_beat_said(client: Client) -> None:
    """A worker that has just taken something is no idle one, though it has not said so yet."""
    name = work(client, "work", "a", 0, 0)
    client.hset(client.keys_of.inflight(name), "1", "0work\nmessage")
    (worker,) = observe(client, ["work"], NOW)["work"].workers
    assert (worker.busy, worker.taken) == (0, 1)


def test_what_holds_nothing_is_left_out(client: Client) -> None:
    """Only queues with something in them, workers or settings are read; for the others `observe` says that nothing is there."""
    for queue, step in (("low", 3), ("plain", 0)):
        put(client, queue, step=step, at=NOW)
    client.zadd(client.keys_of.delayed("later"), {"one": (NOW + 100) * 1000})
    client.lpush(client.keys_of.quarantine("apart"), "0apart\nmessage")
    admin.pause(client, "paused")
    work(client, "served", "a", 0, 0)
    names = ["nothing", "low", "plain", "later", "apart", "paused", "served"]
    assert set(held(client, names, NOW)) == set(names) - {"nothing"}
    assert held(client, ["nothing", "none"], NOW) == {}
    assert observe(client, names, NOW)["nothing"] == nothing_in("nothing", NOW)
    assert list(observe(client, names, NOW)) == names


def test_who_paused_is_known_until_it_goes_on(client: Client) -> None:
    """A pause says who made it; a person's takes its place, and resuming and releasing leave nothing of it."""
    admin.pause(client, "work", by="spec default/work")
    assert [(r.paused, r.paused_by) for r in observe(client, ["work"], NOW).values()] == [(True, "spec default/work")]
    admin.pause(client, "work")
    assert [(r.paused, r.paused_by) for r in observe(client, ["work"], NOW).values()] == [(True, None)]
    for lift in (admin.resume, admin.release):
        admin.pause(client, "work", by="spec default/work")
        lift(client, "work")
        assert held(client, ["work"], NOW) == {}


def test_the_age_of_a_message_that_does_not_tell(client: Client) -> None:
    """A stranger's message is as old as it has been seen; once it is gone its like counts anew."""
    put(client, "work", text="a stranger's")
    assert observe(client, ["work"], NOW)["work"].oldest_age == 0
    later = observe(client, ["work"], NOW + 7)["work"]
    assert (later.oldest_age, later.oldest_is_lower_bound) == (7, True)
    client.delete(client.keys_of.step("work", 0))
    observe(client, ["work"], NOW + 8)
    put(client, "work", text="a stranger's")
    assert observe(client, ["work"], NOW + 9)["work"].oldest_age == 0


def test_a_body_that_looks_like_a_header_is_none(client: Client) -> None:
    """What a task's arguments say is no time of acceptance unless it reads exactly as a header does."""
    put(client, "work", text='"windrow": "t": 5', at=NOW - 3)
    assert observe(client, ["work"], NOW)["work"].oldest_age == 3


def test_a_full_redis_is_read_and_asked(each_server: Broker) -> None:
    """Reading needs no memory, and what a scaler asks of workers is taken in one call though nothing else is."""
    client = connect(each_server.url)
    names = [work(client, "work", host, 0, 0) for host in "abc"]
    each_server.fill()
    admin.ask_drain(client, names)
    admin.count_decisions(client, [("work", "idle"), ("work", "idle")])
    assert [worker.drain for worker in observe(client, ["work"], NOW)["work"].workers] == ["asked"] * 3
    assert client.hget(client.keys_of.decisions, "work idle") == b"2"
