"""Messages that go straight to Redis, one by one, in a pipeline, or awaited: the same as those that go kombu's way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, group
from celery.signals import after_task_publish, before_task_publish
from kombu.exceptions import EncodeError, OperationalError

from windrow.authoring.direct import Outlet
from windrow.authoring.install import install
from windrow.local.servers import EmbeddedRedis


@pytest.fixture
def app(redis_url: str) -> Celery:
    made = install(Celery("direct", set_as_current=False), redis_url)

    @made.task(name="direct.add", shared=False)
    def add(x: int, y: int = 0) -> int:
        return x + y

    return made


def messages(client: redis.Redis, queue: str = "celery") -> list[dict[str, Any]]:
    return [json.loads(text) for text in reversed(client.lrange(queue, 0, -1))]  # type: ignore[arg-type]


def reads(client: redis.Redis) -> int:
    return int(client.info("stats")["total_reads_processed"])


OWN = ("id", "root_id", "windrow", "expires", "traceparent")
"""Headers that are another in each message."""


def test_a_direct_message_is_kombus_own(app: Celery, redis_client: redis.Redis) -> None:
    """The first message to a queue goes through kombu, which declares it, the next straight to Redis: both look the same."""
    add = app.tasks["direct.add"]
    options = {"priority": 6, "countdown": None, "headers": {"mine": 1}, "expires": 60, "link": add.s(5), "queue": "direct_own"}
    for _ in range(2):
        add.apply_async((1,), {"y": 2}, **options)
    first, second = messages(redis_client, "direct_own\x06\x166")
    assert redis_client.smembers("_kombu.binding.direct_own")  # kombu binds a queue once in a process

    def bare(message: dict[str, Any]) -> Any:
        headers = {key: value for key, value in message["headers"].items() if key not in OWN}
        properties = {k: v for k, v in message["properties"].items() if k not in ("correlation_id", "delivery_tag", "reply_to")}
        return {**message, "body": None, "headers": headers, "properties": properties}

    assert bare(first) == bare(second)
    assert sorted(second["properties"]) == sorted(first["properties"])
    assert second["headers"]["id"] == second["properties"]["correlation_id"]


def test_signals_are_sent_for_direct_messages(app: Celery) -> None:
    """before_task_publish may change headers, after_task_publish is told, for each message once."""
    add, told = app.tasks["direct.add"], []
    add.delay(0)

    def before(headers: dict[str, Any], **_: Any) -> None:
        headers["stamped"] = "yes"

    def after(headers: dict[str, Any], **_: Any) -> None:
        told.append(headers["stamped"])

    before_task_publish.connect(before)
    after_task_publish.connect(after)
    try:
        add.delay(1)
        asyncio.run(add.adelay(2))
    finally:
        before_task_publish.disconnect(before)
        after_task_publish.disconnect(after)
    assert told == ["yes", "yes"]


def test_a_group_is_published_in_one_pipeline(app: Celery, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages leave together and keep their order, each with its event."""
    add = app.tasks["direct.add"]
    add.delay(0)
    sent: list[int] = []
    send = Outlet.send

    def counting(self: Outlet, publications: Any) -> None:
        sent.append(len(publications))
        send(self, publications)

    monkeypatch.setattr(Outlet, "send", counting)
    group(add.s(n) for n in range(1, 51)).apply_async()
    assert sent == [50]
    assert [message["headers"]["argsrepr"] for message in messages(redis_client)] == [f"({n},)" for n in range(51)]
    assert redis_client.xlen("windrow:events") == 51


def test_of_a_group_with_a_bad_argument_nothing_is_published(app: Celery, redis_client: redis.Redis) -> None:
    """Half a group would wait for the other half for ever."""
    add = app.tasks["direct.add"]
    add.delay(0)
    with pytest.raises(EncodeError):
        group([add.s(1), add.s(object()), add.s(2)]).apply_async()
    assert len(messages(redis_client)) == 1


def test_adelay_publishes_from_many_coroutines_on_one_connection(app: Celery, redis_client: redis.Redis) -> None:
    """Every call is in Redis, with its record's event, when its await returns; together they need few round trips."""
    add = app.tasks["direct.add"]
    add.delay(-1)

    async def publish() -> list[str]:
        await add.adelay(-2)
        before = redis_client.info("clients")["connected_clients"], reads(redis_client)
        results = await asyncio.gather(*(add.adelay(n) for n in range(300)))
        assert redis_client.info("clients")["connected_clients"] == before[0]
        assert reads(redis_client) - before[1] < 30
        return [result.id for result in results]

    ids = asyncio.run(publish())
    assert [message["headers"]["id"] for message in messages(redis_client)][2:] == ids
    assert redis_client.xlen("windrow:events") == 302


def test_adelay_works_on_loop_after_loop_and_leaves_no_connection(app: Celery, redis_client: redis.Redis) -> None:
    """Each asyncio.run has a connection of its own, which ends with it; also for the first message ever."""
    add = app.tasks["direct.add"]
    asyncio.run(add.adelay(1))
    clients = redis_client.info("clients")["connected_clients"]
    for n in range(3):
        asyncio.run(add.aapply_async((n,), queue="celery", priority=3))
    assert redis_client.info("clients")["connected_clients"] == clients
    assert len(messages(redis_client)) + len(messages(redis_client, "celery\x06\x163")) == 4


def test_adelay_raises_what_delay_raises(app: Celery, redis_client: redis.Redis) -> None:
    """No JSON is an EncodeError in the caller, and nothing is published."""
    add = app.tasks["direct.add"]
    add.delay(0)
    with pytest.raises(EncodeError):
        asyncio.run(add.adelay(object()))
    assert len(messages(redis_client)) == 1


def test_adelay_says_within_three_seconds_that_redis_is_away_and_holds_no_loop(state_dir: Path) -> None:
    """A frozen Redis, then a dead one: one sentence within 3 s each, while other coroutines run on."""
    server = EmbeddedRedis(state_dir)
    url = server.start()
    app = install(Celery("away", set_as_current=False), url)

    @app.task(name="away.add", shared=False)
    def add(x: int) -> int:
        return x

    assert server.process is not None
    pid = server.process.pid

    async def publish() -> float:
        gaps, last = [0.0], time.monotonic()

        async def tick() -> None:
            nonlocal last
            while True:
                await asyncio.sleep(0.01)
                gaps.append(time.monotonic() - last)
                last = time.monotonic()

        ticking = asyncio.create_task(tick())
        began = time.monotonic()
        with pytest.raises(
            OperationalError, match=r"publishing away\.add failed after .* Redis at redis://.* must answer within 3 s"
        ):
            await add.adelay(1)
        assert time.monotonic() - began < 3.5
        ticking.cancel()
        return max(gaps)

    try:
        add.delay(0)
        asyncio.run(add.adelay(0))
        os.kill(pid, signal.SIGSTOP)
        assert asyncio.run(publish()) < 0.5
        os.kill(pid, signal.SIGCONT)
        server.process.kill()
        server.process.wait()
        assert asyncio.run(publish()) < 0.5
    finally:
        server.stop()


def test_adelay_of_an_eager_app_runs_the_task(app: Celery) -> None:
    """task_always_eager: as `delay()`."""
    app.conf.task_always_eager = True
    assert asyncio.run(app.tasks["direct.add"].adelay(1, y=2)).get() == 3


def test_a_producer_may_be_asked_for_before_anything_else_of_the_app(app: Celery, redis_client: redis.Redis) -> None:
    """What reads the app's configuration first, a producer or a call, makes no difference to what is published through it."""
    with app.producer_or_acquire() as producer:
        for n in range(3):
            app.tasks["direct.add"].apply_async((n,), producer=producer)
    assert len(messages(redis_client)) == 3
