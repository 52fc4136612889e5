"""The Redis servers that the operator reads: away, hanging, named by Secrets, and never told with their passwords."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
import redis
import structlog

from windrow.broker import admin
from windrow_operator import brokers
from windrow_operator.brokers import Brokers, Place, Read

T = TypeVar("T")
OTHER = Place("shop", "elsewhere")


class Secrets:
    """One Secret; None: there is none."""

    def __init__(self, url: str | None) -> None:
        self.url = url
        self.asked = 0

    async def secret(self, namespace: str, name: str) -> dict[str, str]:
        self.asked += 1
        if self.url is None:
            raise LookupError(f"{namespace}/{name} not found")
        return {"REDIS_URL": self.url} if self.url else {}


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def test_a_redis_that_hangs_is_stale_then_unreadable_then_back(
    redis_url: str, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a while the last reading stands, as old as it is; then nothing is known; the loop goes on meanwhile."""
    monkeypatch.setattr(brokers, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(brokers, "PATIENCE_SECONDS", 0.6)
    admin.pause(brokers.connect(redis_url), "mail")

    async def look() -> tuple[list[Read | None], float]:
        every = Brokers(redis_url, "", Secrets(None))
        found = [await every.at(Place()).read(["mail", "post"])]
        redis_client.execute_command("CLIENT", "PAUSE", 2500)
        longest, before = 0.0, time.monotonic()
        while len(found) < 3:
            reading = asyncio.ensure_future(every.at(Place()).read(["mail", "post"]))
            while not reading.done():
                await asyncio.sleep(0.005)
                longest, before = max(longest, time.monotonic() - before), time.monotonic()
            if reading.result() is not None and (len(found) == 1 or reading.result().queues is None):  # type: ignore[union-attr]
                found.append(reading.result())
        while (last := await every.at(Place()).read(["mail", "post"])) is None or last.fault is not None:
            pass
        every.close()
        return [*found, last], longest

    (first, stale, blind, back), longest = run(look())
    assert first is not None
    assert stale is not None
    assert blind is not None
    assert back is not None
    assert (set(first.queues or ()), first.fault) == ({"mail"}, None)
    assert (stale.at, stale.queues) == (first.at, first.queues)
    assert stale.fault is not None
    assert blind.queues is None
    assert (set(back.queues or ()), back.fault) == ({"mail"}, None)
    assert back.at > first.at
    assert longest < 0.5


def test_nothing_is_said_before_patience_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that has just started, and finds no Redis, decides nothing for as long as a failover may take."""

    async def look() -> tuple[Read | None, Read | None]:
        every = Brokers("redis://127.0.0.1:9/0", "", Secrets(None))
        first = await every.at(Place()).read(["mail"])
        monkeypatch.setattr(brokers, "PATIENCE_SECONDS", 0.0)
        return first, await every.at(Place()).read(["mail"])

    first, later = run(look())
    assert first is None
    assert later is not None
    assert later.queues is None
    assert later.fault is not None
    assert "the platform's Redis can't be read" in later.fault


def test_a_secret_is_read_anew_when_it_fails(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Secret that is missing, lacks its key or is wrong is told in a sentence; when it is right the queue is read."""
    for name in ("PATIENCE_SECONDS", "SECRET_AGAIN_SECONDS"):
        monkeypatch.setattr(brokers, name, 0.0)
    secrets = Secrets(None)

    async def look() -> list[str | None]:
        broker = Brokers(None, "", secrets).at(OTHER)
        faults = []
        for url in (
            None,
            "",
            "redis://:hush@127.0.0.1:no",
            "amqp://:hush@x",
            "redis://:hush@127.0.0.1:9/0",
            redis_url,
            redis_url,
        ):
            secrets.url = url
            read = await broker.read(["mail"])
            assert read is not None
            faults.append(read.fault)
        return faults

    missing, lacking, bad, other, away, *fine = run(look())
    assert missing == "Secret shop/elsewhere can't be read: shop/elsewhere not found"
    assert lacking == "Secret shop/elsewhere must have the key REDIS_URL"
    assert bad == other == "REDIS_URL of Secret shop/elsewhere must be a redis:// or rediss:// URL"
    assert away is not None
    assert "Connection refused" in away
    assert fine == [None, None]
    assert secrets.asked == 6


def test_no_password_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged of a Redis that can't be read holds nothing of its URL but host and port."""
    monkeypatch.setattr(brokers, "PATIENCE_SECONDS", 0.0)
    with structlog.testing.capture_logs() as logs:
        for url in ("redis://:hush@127.0.0.1:9/0", "redis://:hu/sh@127.0.0.1:9/0"):
            run(Brokers(url, "", Secrets(None)).at(Place()).read(["mail"]))
    assert len(logs) == 2
    assert "hu" not in str(logs)
