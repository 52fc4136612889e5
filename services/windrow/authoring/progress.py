"""`update_state` on record: an event on the stream, at most one a second for each execution."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from typing import Any

import redis

from windrow.authoring.attempt import current_attempt
from windrow.broker import events
from windrow.broker.client import Client, connect
from windrow.broker.scripts import load

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two events of one execution."""
MOST_META = 4096
"""Characters of the meta that go on record."""
_REMEMBERED = 256

_lock = threading.Lock()
_clients: dict[tuple[str, str], Client] = {}
_last: dict[str, float] = {}
_warned = False


def report(app: Any, task: Any, state: str | None, meta: Any) -> None:
    """Put the current attempt's state on record; a failure is logged once and never reaches the task."""
    global _warned
    attempt = current_attempt(task)
    if attempt is None or not _due(attempt.execution_id, time.monotonic()):
        return
    event = {
        "k": events.PROGRESS,
        "id": attempt.execution_id,
        "t": time.time(),
        "attempt": attempt.attempt_id,
        "state": str(state),
        "meta": bounded(meta),
        "task_id": attempt.task_id,
        "queue": attempt.queue,
        "task": attempt.task,
    }
    try:
        client = _client(app)
        load("detail")(client, [client.keys_of.events, client.keys_of.most_events], [events.encode(event)])
        _warned = False
    except (redis.RedisError, OSError, ValueError) as exc:
        if not _warned:
            _warned = True
            logger.warning("progress of %s is not on record: Redis must answer, it said %s", attempt.execution_id, exc)


def bounded(meta: Any) -> str:
    """The meta as JSON text of at most 4,096 characters; what is longer, or no JSON, becomes text that says so."""
    try:
        text = json.dumps(meta, separators=(",", ":"), default=str)
    except (TypeError, ValueError):
        text = json.dumps(str(meta))
    if len(text) <= MOST_META:
        return text
    cut = len(text)
    while True:
        cut = min(cut, MOST_META) * 3 // 4
        shorter = json.dumps({"cut": text[:cut]})
        if len(shorter) <= MOST_META:
            return shorter


def _due(execution_id: str, now: float) -> bool:
    with _lock:
        last = _last.get(execution_id)
        if last is not None and now - last < INTERVAL:
            return False
        _last.pop(execution_id, None)
        _last[execution_id] = now
        while len(_last) > _REMEMBERED:
            del _last[next(iter(_last))]
        return True


def _client(app: Any) -> Client:
    url = app.conf.broker_write_url
    prefix = (app.conf.broker_transport_options or {}).get("global_keyprefix", "")
    with _lock:
        client = _clients.get((url, prefix))
        if client is None:
            client = _clients[(url, prefix)] = connect(url, timeout=1.0, key_prefix=prefix)
        return client


def _after_fork() -> None:
    # A socket shared with the parent would mix the two processes' replies.
    global _lock
    _lock = threading.Lock()
    _clients.clear()


os.register_at_fork(after_in_child=_after_fork)
