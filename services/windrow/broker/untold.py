"""Telling Celery of what was lost: who waits for the result, the errbacks, the chord that the task is a part of.

A task that ends `lost` with its process has nobody left who could tell, and the leader, which gives back what a dead worker
held, has no app and so no result backend. It sets the message aside, in the same step that ends the execution, and then calls a
task of the app's own (`windrow.authoring.lost`) on the task's queue.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from typing import Any, Final, cast
from uuid import UUID, uuid5

import redis

from windrow.broker import events
from windrow.broker.client import Client
from windrow.broker.keys import unstored
from windrow.broker.publication import HEADER, MOST_MESSAGE, publication
from windrow.broker.scripts import load

logger = logging.getLogger(__name__)

TASK: Final = "windrow.tell_lost"
"""The task that tells: a call of it has the reason, and the lost message without what is only its transport's."""
AT_ONCE: Final = 50
"""Messages that one tick of the leader tells of."""
_NAMESPACE: Final = UUID("3b0f3c60-54a4-5d5c-8a35-1ea9d4c2ab17")


def set_aside(client: Client, execution: str, reason: str, value: bytes) -> None:
    """Leave a lost message, as an in-flight set holds it, for the leader to tell of. Raises redis.RedisError."""
    client.insist("HSET", client.keys_of.untold, execution, f"{reason}\n".encode() + value)


def tell_lost(client: Client) -> None:
    """Have the workers' own apps told of what was set aside; what can't be published now is left. Raises redis.RedisError."""
    keys = client.keys_of
    for execution, text in _some(client):
        reason, _, value = text.partition(b"\n")
        _, queue, message = unstored(value)
        call = _call(execution, reason.decode(), queue, message)
        if call is not None:
            made = publication(call, queue, keys)
            try:
                answer = load("publish")(client, made.keys, made.arguments)
            except redis.ResponseError as error:
                logger.warning("a lost task can't be told of yet: %s", error)
                return
            if int(answer) < 0:
                return  # the records are behind: with the next ticks
        client.hdel(keys.untold, execution)


def _some(client: Client) -> Iterator[tuple[str, bytes]]:
    _, found = client.hscan(client.keys_of.untold, count=AT_ONCE)
    for execution, text in cast(dict[bytes, bytes], found).items():
        yield execution.decode(), text


def _call(execution: str, reason: str, queue: str, message: bytes) -> dict[str, Any] | None:
    """kombu's message of the call that tells, always under the same id; None when nobody waits."""
    try:
        lost = json.loads(message)
        headers, body = lost["headers"], lost["body"]
        if headers["task"] == TASK or not (_awaited(headers, body) and len(message) < MOST_MESSAGE // 2):
            return None
        told = {name: lost[name] for name in ("headers", "body", "content-type", "content-encoding")}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    task_id = str(uuid5(_NAMESPACE, execution))
    own: dict[str, Any] = {
        "lang": "py", "task": TASK, "id": task_id, "shadow": None, "eta": None, "expires": None, "group": None,
        "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": headers.get("root_id"),
        "parent_id": headers.get("id"), "argsrepr": f"({reason!r}, …)", "kwargsrepr": "{}", "origin": "windrow server",
        "ignore_result": True, "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {}, "windrow_keep": False,
        HEADER: {"v": events.VERSION, "once": execution},
    }  # fmt: skip
    properties = {
        "correlation_id": task_id, "reply_to": "", "delivery_mode": 2, "priority": 0, "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": queue}, "delivery_tag": str(uuid5(_NAMESPACE, task_id)),
    }  # fmt: skip
    arguments = [[reason, told], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    return {
        "body": base64.b64encode(json.dumps(arguments).encode()).decode(), "content-encoding": "utf-8",
        "content-type": "application/json", "headers": own, "properties": properties,
    }  # fmt: skip


def _awaited(headers: dict[str, Any], body: str) -> bool:
    """Whether anybody waits for this task's end; true where that can't be told."""
    if not headers.get("ignore_result"):
        return True
    try:
        embedded = json.loads(base64.b64decode(body))[2]
        return bool(embedded["chord"] or embedded["errbacks"])
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return True
