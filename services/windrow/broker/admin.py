"""What people and scalers do to queues, workers and executions."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from typing import Any, cast

from windrow.broker import events
from windrow.broker.client import Client
from windrow.broker.keys import step_of, unstored
from windrow.broker.publication import HEADER, MOST_MESSAGE, accepted
from windrow.broker.scripts import load

MOST_REVOKED = 100_000
REVOKED_SECONDS = 30 * 24 * 3600.0


def pause(client: Client, queue: str) -> None:
    """Take nothing more from a queue; running tasks go on, new ones are kept. Raises redis.RedisError."""
    client.hset(client.keys_of.queue(queue), "paused", "1")


def resume(client: Client, queue: str) -> None:
    """Take from a paused queue again. Raises redis.RedisError."""
    client.hdel(client.keys_of.queue(queue), "paused")


def pin(client: Client, queue: str, replicas: int) -> None:
    """Fix a queue's number of workers; the scaler leaves it alone until `release`. Raises redis.RedisError."""
    client.hset(client.keys_of.queue(queue), "pinned", replicas)


def release(client: Client, queue: str) -> None:
    """Give a queue back to the scaler, and to work: removes a pin and a pause. Raises redis.RedisError."""
    client.hdel(client.keys_of.queue(queue), "pinned", "paused")


def set_rate(client: Client, queue: str, per_second: float | None, burst: int = 1) -> None:
    """Set the rate limit of a whole queue (task starts a second, and at once), or lift it. Raises redis.RedisError."""
    key = client.keys_of.queue(queue)
    if per_second is None:
        client.hdel(key, "rate", "burst")
    else:
        client.hset(key, mapping={"rate": per_second, "burst": burst})


def ask_drain(client: Client, workers: Iterable[str]) -> None:
    """Ask workers to take nothing more and to say `drained` when nothing is in flight. Raises redis.RedisError."""
    for worker in workers:
        client.hsetnx(client.keys_of.drain, worker, "asked")


def withdraw_drain(client: Client, workers: Iterable[str]) -> None:
    """Let workers that were asked to drain take work again. Raises redis.RedisError."""
    names = list(workers)
    if names:
        client.hdel(client.keys_of.drain, *names)


def count_decisions(client: Client, decisions: Iterable[tuple[str, str]]) -> None:
    """Count scaling decisions, each (queue, reason), that changed a number of workers. Raises redis.RedisError."""
    made = list(decisions)
    if made:
        with client.pipeline(transaction=False) as pipe:
            for queue, reason in made:
                pipe.hincrby(client.keys_of.decisions, f"{queue} {reason}", 1)
            pipe.execute()


def report_exit(client: Client, workers: Iterable[str]) -> None:
    """Say that whoever watched these workers' processes saw them end: their messages go back without counting silence."""
    names = list(workers)
    if names:
        client.sadd(client.keys_of.exited, *names)


def revoke(client: Client, task_ids: Iterable[str]) -> None:
    """Revoke task ids, in Redis: workers that start later know it too. Raises redis.RedisError."""
    now = time.time()
    keys = client.keys_of
    with client.pipeline() as pipe:
        pipe.zadd(keys.revoked, dict.fromkeys(task_ids, now))
        pipe.zremrangebyscore(keys.revoked, "-inf", now - REVOKED_SECONDS)
        pipe.zremrangebyrank(keys.revoked, 0, -MOST_REVOKED - 1)
        pipe.incr(keys.revoked_version)
        pipe.execute()


def revoked(client: Client) -> list[str]:
    """The revoked task ids. Raises redis.RedisError."""
    return [str(task_id, "utf-8") for task_id in cast(list[bytes], client.zrange(client.keys_of.revoked, 0, -1))]


def cancel_delayed(client: Client, queue: str, tag: str, execution: str, reason: str) -> bool:
    """Take a delayed execution out for good and put its final `cancelled` on record; False if it is delayed no more."""
    keys = client.keys_of
    event = _cancelled(execution, queue, reason)
    names = [keys.delayed(queue), keys.delayed_messages(queue), keys.events]
    return bool(load("cancel")(client, names, [tag, events.encode(event)]))


def purge(client: Client, queue: str) -> int:
    """Drop every ready and delayed task of a queue, each on record as `cancelled`; says how many. In flight ones stay."""
    keys = client.keys_of
    dropped = 0
    for name in keys.ready(queue):
        while popped := cast(list[bytes], client.lpop(name, 500)):
            _drop(client, queue, popped)
            dropped += len(popped)
    while apart := cast(list[bytes], client.lpop(keys.quarantine(queue), 500)):
        _drop(client, queue, [unstored(value)[2] for value in apart])
        dropped += len(apart)
    delayed = cast(dict[bytes, bytes], client.hgetall(keys.delayed_messages(queue)))
    for tag, value in delayed.items():
        header = _header(unstored(value)[2])
        dropped += cancel_delayed(client, queue, tag.decode(), header.get("id") or events.new_id(), "the queue was purged")
    client.srem(keys.queues, queue)
    return dropped


def _drop(client: Client, queue: str, messages: list[bytes]) -> None:
    ended = []
    for message in messages:
        header = _header(message)
        event = _cancelled(header.get("id") or events.new_id(), queue, "the queue was purged")
        if not header:
            event.update(_identity(message))
        ended.append(event)
    client.xadd(client.keys_of.events, cast(dict[Any, Any], events.fields(*ended)))


def _cancelled(execution: str, queue: str, reason: str) -> events.Event:
    return {
        "k": events.ENDED, "id": execution, "t": time.time(), "attempt": None, "outcome": None, "state": "cancelled",
        "queue": queue, "reason": reason,
    }  # fmt: skip


def _header(message: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(message)["headers"].get(HEADER) or {})
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _identity(message: bytes) -> dict[str, Any]:
    try:
        headers = json.loads(message)["headers"]
        return {"task_id": str(headers.get("id")), "task": str(headers.get("task"))}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"task_id": str(uuid.uuid4())}


def republish(client: Client, queue: str, message: bytes | str, *, redo_of: str) -> str:
    """Run a kept message again as a new execution that names the old; returns its id.

    The new execution has a new task id, so that Celery's results of both stay apart. Raises redis.RedisError, and
    ValueError when the message can't be read.
    """
    made = json.loads(message)
    now = time.time()
    keys = client.keys_of
    headers, properties = made["headers"], made["properties"]
    task_id, tag = str(uuid.uuid4()), str(uuid.uuid4())
    headers.update(id=task_id, root_id=task_id, parent_id=None, retries=0, eta=None, expires=None)
    headers[HEADER] = {"v": events.VERSION, "id": events.new_id(now), "t": now}
    properties.update(delivery_tag=tag, correlation_id=task_id)
    text = json.dumps(made)
    event = accepted(headers[HEADER]["id"], headers, properties, queue, now)
    event["redo_of"] = redo_of
    step = step_of(properties.get("priority"))
    names = [
        keys.step(queue, step), keys.events, keys.queues, keys.delayed(queue), keys.delayed_messages(queue),
        keys.delayed_messages(queue),
    ]  # fmt: skip
    keep = "1" if len(text) <= MOST_MESSAGE else ""
    load("publish")(client, names, [queue, text, events.encode(event), "", "", tag, "", keep])
    return str(headers[HEADER]["id"])
