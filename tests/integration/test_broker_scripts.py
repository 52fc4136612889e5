"""The scripts one by one, on a real Redis: who may say what, and where a message is afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from windrow.broker import admin, events
from windrow.broker.client import Client, connect
from windrow.broker.keys import Keys, stored
from windrow.broker.recovery import Recovery
from windrow.broker.scripts import load

KEYS = Keys()
WORKER = "q/host/1/abcdefgh"
NOTE = {"id": "e1", "attempt": "a1", "queue": "q", "task": "t", "t": 1.0, "early": False}


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    made = connect(redis_url)
    yield made
    made.close()


def resume(client: Client, epoch: int = 1) -> list[Any]:
    names = [KEYS.epochs, KEYS.gone, KEYS.workers, KEYS.inflight(WORKER)]
    answer: list[Any] = load("resume")(client, names, [WORKER, epoch, "{}"])
    return answer


def sync(client: Client, *operations: object, epoch: int = 1, take: int = 0, first: int = 1) -> list[Any]:
    names = KEYS.of_sync(WORKER, "q")
    arguments = [WORKER, epoch, int(time.time() * 1000), "q", take, first, "", "", *operations]
    answer: list[Any] = load("sync")(client, names, arguments)
    return answer


def publish(client: Client, message: str, replaces: str = "", once: str = "") -> int:
    names = [
        KEYS.step("q", 0), KEYS.events, KEYS.queues, KEYS.delayed("q"), KEYS.delayed_messages("q"), KEYS.inflight(WORKER),
        KEYS.most_events, KEYS.sent("owner"), KEYS.refused,
    ]  # fmt: skip
    arguments = ["q", message, "{}", "", stored(0, "q", b""), message, replaces, "1", "", once, 100]
    done: int = load("publish")(client, names, arguments)
    return done


def recover(client: Client, most: int = 3) -> tuple[int, int]:
    return Recovery(client, {"q": most}).recover(WORKER)


def test_a_call_of_an_older_connection_is_refused(client: Client) -> None:
    """A call that hung in a frozen Redis takes nothing once its worker has connected anew."""
    publish(client, "m1")
    resume(client, epoch=1)
    resume(client, epoch=2)
    assert sync(client, epoch=1, take=5) == [0]
    assert client.llen("q") == 1
    assert sync(client, epoch=2, take=5)[2] == [b"0q\nm1"]


def test_a_dead_workers_finish_is_refused(client: Client) -> None:
    """Once its messages were given back, nothing a worker says counts, and it can't come back under its name."""
    publish(client, "m1")
    resume(client)
    sync(client, take=1)
    recover(client)
    assert sync(client, "F", 1, '{"k":"ended"}', "", "", "", "1") == [0]
    assert resume(client, epoch=2) == [0]
    assert client.lrange("q", 0, -1) == [b"m1"]


def test_a_refused_finish_is_told(client: Client) -> None:
    """A finish of a message that is in flight no more changes nothing, and is on the stream as refused."""
    publish(client, "m1")
    resume(client)
    sync(client, take=1)
    client.hdel(KEYS.inflight(WORKER), "1")
    ended = {"k": "ended", "id": "e1", "state": "success"}
    assert sync(client, "F", 1, events.encode(ended), "e1", "", "", "1")[1] == [b"1"]
    told = [event for _, entry in client.xrange(KEYS.events) for event in events.decode(entry)]
    assert told[-1] == {"k": "refused", "id": "e1", "what": "finish", "of": ended}


def test_a_finish_counts_once(client: Client) -> None:
    """The second end of a message is refused, and its event is not on the stream."""
    publish(client, "m1")
    resume(client)
    sync(client, take=1)
    assert sync(client, "F", 1, '{"k":"ended","n":1}', "", "", "", "1")[1] == []
    assert sync(client, "F", 1, '{"k":"ended","n":2}', "", "", "", "1")[1] == [b"1"]
    told = [event for _, entry in client.xrange(KEYS.events) for event in json.loads(entry[b"e"])]
    assert [event["n"] for event in told if "n" in event] == [1]


def test_a_retry_takes_its_messages_place(client: Client) -> None:
    """After a retry was published its old message never comes back, though the worker dies before it says so."""
    publish(client, "old")
    resume(client)
    sync(client, take=1)
    sync(client, "S", 1, json.dumps(NOTE))
    assert publish(client, "new", replaces="1") == 1
    assert publish(client, "new", replaces="1") == 2  # a second try of the same
    assert client.hget("windrow:refused", "published_again") == b"1"
    assert recover(client) == (0, 0)
    assert client.lrange("q", 0, -1) == [b"new"]


def test_an_owner_publishes_each_call_once(client: Client) -> None:
    """What an owner has published before is refused and counted; the mark does not stay for ever."""
    assert publish(client, "step", once="id") == 1
    assert publish(client, "step", once="id") == 2
    assert publish(client, "other", once="id:1") == 1
    assert client.lrange("q", 0, -1) == [b"other", b"step"]
    assert client.xlen("windrow:events") == 2
    assert client.hget("windrow:refused", "published_again") == b"1"
    assert 0 < client.ttl("windrow:sent:owner") <= 100


def test_a_retry_of_an_attempt_that_was_given_away_is_dropped(client: Client) -> None:
    """A worker that was declared dead can't publish the retry of what others run again."""
    publish(client, "old")
    resume(client)
    sync(client, take=1)
    recover(client)
    assert publish(client, "new", replaces="1") == 0
    assert client.lrange("q", 0, -1) == [b"old"]


def test_recovery_gives_back_in_order_and_counts_what_had_started(client: Client) -> None:
    """The oldest is next in line again; only a started attempt counts as a recovery."""
    for message in ("m1", "m2", "m3"):
        publish(client, message)
    resume(client)
    sync(client, take=2)
    sync(client, "S", 2, json.dumps({**NOTE, "id": "e2"}))
    assert recover(client) == (2, 0)
    assert [client.rpop("q") for _ in range(3)] == [b"m1", b"m2", b"m3"]
    assert client.hgetall(KEYS.recoveries) == {b"e2": b"1"}


def test_past_its_recoveries_an_execution_is_lost_not_repeated(client: Client) -> None:
    """One death more than maxRecoveries: it ends `lost`, with the reason, and its count is forgotten."""
    publish(client, "m1")
    resume(client)
    sync(client, take=1)
    sync(client, "S", 1, json.dumps(NOTE))
    assert recover(client, most=0) == (0, 1)
    assert client.llen("q") == 0
    last = json.loads(client.xrevrange(KEYS.events, count=1)[0][1][b"e"])[0]
    assert (last["state"], last["outcome"], last["reason"]) == ("lost", "killed", "its worker died 1 times")
    assert client.hgetall(KEYS.recoveries) == {}


def test_bytes_are_kept_as_they_are(client: Client) -> None:
    """A message comes out of every set as it went in: no script decodes it."""
    message = '{"empty": [], "long": 12345678901234567890, "text": "\\u00e9\\n"}'
    publish(client, message)
    resume(client)
    assert sync(client, take=1)[2] == [b"0q\n" + message.encode()]
    recover(client)
    assert client.rpop("q") == message.encode()


def test_a_worker_with_work_does_not_leave(client: Client) -> None:
    """Saying goodbye with something in flight removes nothing: recovery gives it back."""
    publish(client, "m1")
    resume(client)
    sync(client, take=1)
    names = [KEYS.epochs, KEYS.beats, KEYS.workers, KEYS.drain, KEYS.inflight(WORKER), KEYS.started(WORKER)]
    assert load("leave")(client, names, [WORKER]) == 1
    assert client.hexists(KEYS.epochs, WORKER)


def test_purge_puts_each_dropped_task_on_record(client: Client) -> None:
    """`purge` drops ready and delayed tasks, each with its final event."""
    publish(client, json.dumps({"headers": {"windrow": {"id": "e1"}}}))
    client.lpush("q", b"no message at all")
    assert admin.purge(client, "q") == 2
    told = [event for _, entry in client.xrange(KEYS.events) for event in json.loads(entry[b"e"])]
    assert [event["state"] for event in told if event.get("k") == "ended"] == ["cancelled", "cancelled"]


@pytest.mark.parametrize(("told", "lost"), [('{"maxRecoveries": 0}', 1), ('{"maxRecoveries": 2}', 0), ("{}", 0), ("?", 0)])
def test_a_workers_own_word_says_how_often_its_tasks_come_back(client: Client, told: str, lost: int) -> None:
    """On a cluster the leader knows no specs: it goes by what the worker registered, else by its own default of three."""
    publish(client, "m1")
    resume(client)
    client.hset(KEYS.workers, WORKER, told)
    sync(client, take=1)
    sync(client, "S", 1, json.dumps(NOTE))
    assert Recovery(client, {}).recover(WORKER) == (1 - lost, lost)
