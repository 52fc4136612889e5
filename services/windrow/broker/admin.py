"""What people and scalers do to queues, workers and executions."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import cast

import redis

from windrow.broker import events
from windrow.broker.client import Client
from windrow.broker.keys import step_of, unstored
from windrow.broker.publication import HEADER, MOST_MESSAGE, accepted
from windrow.broker.refusal import judge
from windrow.broker.scripts import load
from windrow.broker.trace import put_begun

MOST_REVOKED = 100_000
REVOKED_SECONDS = 30 * 24 * 3600.0
AT_ONCE = 500
"""Messages, or names, of one call of a script: it holds Redis for some milliseconds."""
MOST_LOOKS = 20_000
"""Names times queues of one call."""
PURGED = "the queue was purged"


def pause(client: Client, queue: str, by: str = "") -> None:
    """Take nothing more from a queue; running tasks go on, new ones are kept. Raises redis.RedisError.

    `by` says who paused it, for whoever is to resume only what it has paused itself; left out, it was a person.
    """
    client.insist("HSET", client.keys_of.queue(queue), "paused", "1", "paused_by", by)


def resume(client: Client, queue: str) -> None:
    """Take from a paused queue again. Raises redis.RedisError."""
    client.hdel(client.keys_of.queue(queue), "paused", "paused_by")


def pin(client: Client, queue: str, replicas: int) -> None:
    """Fix a queue's number of workers; the scaler leaves it alone until `release`. Raises redis.RedisError."""
    client.insist("HSET", client.keys_of.queue(queue), "pinned", replicas)


def release(client: Client, queue: str) -> None:
    """Give a queue back to the scaler, and to work: removes a pin and a pause. Raises redis.RedisError."""
    client.hdel(client.keys_of.queue(queue), "pinned", "paused", "paused_by")


def know(client: Client, queue: str) -> None:
    """Note that a queue is served, though stock producers alone may publish to it. Raises redis.RedisError."""
    client.insist("SADD", client.keys_of.queues, queue)


def set_rate(client: Client, queue: str, per_second: float | None, burst: int = 1) -> None:
    """Set the rate limit of a whole queue (task starts a second, and at once), or lift it. Raises redis.RedisError."""
    key = client.keys_of.queue(queue)
    if per_second is None:
        client.hdel(key, "rate", "burst")
    else:
        client.insist("HSET", key, "rate", per_second, "burst", burst)


def ask_drain(client: Client, workers: Iterable[str]) -> None:
    """Ask workers to take nothing more and to say `drained` when nothing is in flight. Raises redis.RedisError."""
    for some in _chunks(list(workers), AT_ONCE):
        load("ask")(client, [client.keys_of.drain], some)


def withdraw_drain(client: Client, workers: Iterable[str]) -> None:
    """Let workers that were asked to drain take work again. Raises redis.RedisError."""
    names = list(workers)
    if names:
        client.hdel(client.keys_of.drain, *names)


def count_decisions(client: Client, decisions: Iterable[tuple[str, str]]) -> None:
    """Count scaling decisions, each (queue, reason), that changed a number of workers. Raises redis.RedisError."""
    text, key = load("insist").text, client.keys_of.decisions
    with client.pipeline(transaction=False) as pipe:
        for queue, reason in decisions:
            pipe.eval(text, 1, key, "HINCRBY", f"{queue} {reason}", "1")
        pipe.execute()


def report_exit(client: Client, workers: Iterable[str]) -> None:
    """Say that whoever watched these workers' processes saw them end: their messages go back without counting silence."""
    names = list(workers)
    if names:
        client.insist("SADD", client.keys_of.exited, *names)


def revoke(client: Client, task_ids: Iterable[str], reason: str = "revoked") -> list[bytes]:
    """Revoke task ids, in Redis: workers that start later know it too. Delayed ones end at once, on record with `reason`.

    Answers the messages of those that had been delayed. Raises redis.RedisError.
    """
    now = time.time()
    keys = client.keys_of
    ids = list(task_ids)
    for some in _chunks(ids, AT_ONCE):
        client.insist("ZADD", keys.revoked, *itertools.chain.from_iterable((now, task_id) for task_id in some))
    client.zremrangebyscore(keys.revoked, "-inf", now - REVOKED_SECONDS)
    client.zremrangebyrank(keys.revoked, 0, -MOST_REVOKED - 1)
    client.insist("INCR", keys.revoked_version)
    # Only now: one that becomes due in between is found revoked when it is taken.
    queues = [queue.decode() for queue in cast(set[bytes], client.smembers(keys.queues))]
    return cancel_delayed(client, queues, ids, reason)


def revoked(client: Client) -> list[str]:
    """The revoked task ids. Raises redis.RedisError."""
    return [str(task_id, "utf-8") for task_id in cast(list[bytes], client.zrange(client.keys_of.revoked, 0, -1))]


def cancel_delayed(
    client: Client, queues: Iterable[str], names: Iterable[str], reason: str, *, execution: str | None = None
) -> list[bytes]:
    """Take delayed messages out for good, each with its final `cancelled` on record; answers those that were there.

    `names` are task ids (or the fields of `windrow:delayed:<queue>`); with `execution`, only its own message is taken out.
    """
    keys = client.keys_of
    sets = [key for queue in queues for key in (keys.delayed(queue), keys.delayed_messages(queue))]
    how = "any" if execution is None else "own"
    out: list[bytes] = []
    if not sets:
        return out
    for some in _chunks(list(names), min(AT_ONCE, MOST_LOOKS // len(sets) + 1)):
        pairs = itertools.chain.from_iterable((name, execution or events.new_id()) for name in some)
        out += (
            unstored(value)[2]
            for value in load("cancel")(client, [*keys.of_cancel(), *sets], [time.time(), reason, how, "", *pairs])
        )
    return out


def purge(client: Client, queue: str) -> int:
    """Drop every ready and delayed task of a queue, each on record as `cancelled`; says how many. In flight ones stay."""
    keys = client.keys_of
    dropped = 0
    for name, how in [*((name, "list") for name in keys.ready(queue)), (keys.quarantine(queue), "apart")]:
        while True:
            spare = itertools.chain.from_iterable(("", events.new_id()) for _ in range(AT_ONCE))
            popped = len(load("cancel")(client, [*keys.of_cancel(), name], [time.time(), PURGED, how, queue, *spare]))
            if not popped:
                break
            dropped += popped
    delayed = [name.decode() for name in cast(list[bytes], client.hkeys(keys.delayed_messages(queue)))]
    dropped += len(cancel_delayed(client, [queue], delayed, PURGED))
    client.srem(keys.queues, queue)
    return dropped


def _chunks(names: list[str], size: int) -> Iterator[list[str]]:
    return (names[at : at + size] for at in range(0, len(names), size))


def republish(client: Client, queue: str, message: bytes | str, *, redo_of: str) -> str:
    """Run a kept message again as a new execution that names the old; returns its id.

    The new execution has a new task id, so that Celery's results of both stay apart. Raises redis.RedisError,
    PublishRefused, and ValueError when the message can't be read.
    """
    made = json.loads(message)
    now = time.time()
    keys = client.keys_of
    headers, properties = made["headers"], made["properties"]
    task_id, tag = str(uuid.uuid4()), str(uuid.uuid4())
    headers.update(id=task_id, root_id=task_id, parent_id=None, retries=0, eta=None, expires=None)
    headers[HEADER] = {"v": events.VERSION, "id": events.new_id(now), "t": now}
    properties.update(delivery_tag=tag, correlation_id=task_id)
    trace = put_begun(headers, headers[HEADER]["id"])
    text = json.dumps(made)
    event = accepted(headers[HEADER]["id"], headers, properties, queue, now, trace)
    event["redo_of"] = redo_of
    step = step_of(properties.get("priority"))
    names = [
        keys.step(queue, step), keys.events, keys.queues, keys.delayed(queue), keys.delayed_messages(queue),
        keys.delayed_messages(queue), keys.most_events,
    ]  # fmt: skip
    keep = "1" if len(text) <= MOST_MESSAGE else ""
    arguments = [queue, text, events.encode(event), "", "", f"{task_id}\n{tag}", "", keep]
    try:
        answer = load("publish")(client, names, arguments)
    except redis.ResponseError as error:
        answer = error
    judge(answer, event["task"])
    return str(headers[HEADER]["id"])
