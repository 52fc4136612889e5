"""Publishing while Redis is away fails within 3 s, with one sentence."""

from __future__ import annotations

import itertools
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.exceptions import EncodeError, OperationalError

import windrow
from windrow.broker.transport import Channel
from windrow.local.servers import EmbeddedRedis

_names = itertools.count()


@pytest.fixture
def server(state_dir: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of the test's own, which it may stop."""
    with EmbeddedRedis(state_dir) as server:
        yield server


def _task(url: str) -> Any:
    app = Celery(f"producer{next(_names)}", set_as_current=False)

    @app.task(name="work", shared=False)
    def work(value):
        return value

    windrow.install(app, url)
    return work


def _fails(task: Any, within: float) -> None:
    started = time.monotonic()
    with pytest.raises(OperationalError, match=r"publishing work failed after .* Redis at redis://.* must answer within 3 s"):
        task.delay(1)
    assert time.monotonic() - started < within


def test_a_dead_redis_fails_soon_and_a_new_one_is_found(server: EmbeddedRedis) -> None:
    """A port that nobody listens on: the first call, and one that had a connection, fail; after the return all is well."""
    task = _task(server.url)
    task.delay(1)
    server.stop()
    _fails(task, 3)
    _fails(_task(server.url), 3)
    server.start()
    assert task.delay(2).id


def test_a_restart_between_two_calls_is_not_noticed(server: EmbeddedRedis) -> None:
    """The closed connection that a restart leaves behind is replaced within the call."""
    task = _task(server.url)
    task.delay(1)
    server.stop()
    server.start()
    assert task.delay(2).id


def test_a_frozen_redis_fails_within_three_seconds(server: EmbeddedRedis) -> None:
    """A server that accepts connections and never answers, for a first call and for one that had a connection."""
    task = _task(server.url)
    task.delay(1)
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        _fails(task, 3.2)
        _fails(_task(server.url), 3.2)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert task.delay(2).id


def test_the_password_is_not_in_the_sentence(server: EmbeddedRedis) -> None:
    """The sentence names the address without the password."""
    task = _task(server.url)
    password = server.password
    server.stop()
    with pytest.raises(OperationalError) as caught:
        task.delay(1)
    assert password not in str(caught.value)


def test_an_argument_that_is_no_json_raises_in_the_producer(redis_url: str, redis_client: Any) -> None:
    """Nothing is published when an argument can't be said in JSON."""
    task = _task(redis_url)
    with pytest.raises(EncodeError):
        task.delay(object())
    assert redis_client.llen("celery") == 0
    assert redis_client.xlen("windrow:events") == 0


def test_a_given_execution_id_is_told_with_the_acceptance(redis_url: str, redis_client: Any) -> None:
    """The `accepted` event carries a given `execution_id` as `external`; None is none."""
    from windrow.broker import events

    app = Celery(f"producer{next(_names)}", set_as_current=False)

    @app.task(name="needs", shared=False)
    def needs(execution_id, data=None):
        return data

    windrow.install(app, redis_url)
    needs.delay(42)
    needs.delay(data="x")
    needs.apply_async(kwargs={"execution_id": None}, headers={"mine": 1})
    told = [event for _, entry in redis_client.xrange("windrow:events") for event in events.decode(entry)]
    assert [event["external"] for event in told] == ["42", None, None]


def test_all_tries_of_a_call_are_one_message(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A try that Redis carries out after its connection was given up can be told by id, tag and execution: it is a copy."""
    put = Channel._put
    tries: list[str] = []

    def carried_out_and_lost(self: Channel, queue: str, message: dict[str, Any], **more: Any) -> None:
        put(self, queue, message, **more)
        tries.append(queue)
        if len(tries) == 1:
            raise OperationalError("the answer was lost")

    monkeypatch.setattr(Channel, "_put", carried_out_and_lost)
    task = _task(server.url)
    with redis.Redis.from_url(server.url) as client:
        for options in ({"compression": "gzip"}, {"connection": task.app.connection_for_write()}):
            tries.clear()
            task.apply_async((1,), **options)
            assert len(tries) == 2
            first, second = (json.loads(text) for text in client.lpop("celery", 2))
            assert first["headers"]["windrow"]["id"] == second["headers"]["windrow"]["id"]
            assert first["headers"]["id"] == second["headers"]["id"]
            assert first["properties"]["delivery_tag"] == second["properties"]["delivery_tag"]
