"""What an awaited publish sends kombu's way: every part of it arrives, and fails with the sentence."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

import windrow
from windrow.local.servers import EmbeddedRedis


def _task(url: str) -> Any:
    app = Celery("steps", set_as_current=False)

    @app.task(name="work", shared=False)
    def work(value):
        return value

    return windrow.install(app, url).tasks["work"]


def test_a_sent_event_takes_no_messages_place(redis_url: str, redis_client: redis.Redis) -> None:
    """With `task_send_sent_event`, each call is published as well as its event."""
    task = _task(redis_url)
    task.app.conf.task_send_sent_event = True
    for _ in range(2):
        asyncio.run(task.adelay(1))
    assert redis_client.llen("celery") == redis_client.xlen("windrow:events") == 2


def test_a_first_call_to_a_frozen_redis_fails_with_the_sentence(state_dir: Path) -> None:
    """The first message to a queue goes kombu's way; it fails as every other does."""
    with EmbeddedRedis(state_dir) as server:
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        try:
            with pytest.raises(OperationalError, match=r"publishing work failed after .* must answer within 3 s"):
                asyncio.run(_task(server.url).adelay(1))
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert time.monotonic() - started < 3.3
