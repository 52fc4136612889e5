"""Putting back what canvases need of a Redis that has lost it: open chords with their counted parts, from the records, and what
unfinished executions have published of what follows them.

A part that has not ended comes back with its own message, which the reconciler puts back, and completes the chord as always. A
chord whose parts had all been counted has nobody left to publish its body; a call of Celery's `celery.chord_unlock`, on the
queue of its parts, does it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid4, uuid5

import asyncpg
import structlog

from windrow.broker import events
from windrow.broker.client import Client
from windrow.broker.publication import ONCE_SECONDS, publication
from windrow.broker.scripts import load
from windrow.records import states
from windrow.records.tables import SCHEMA
from windrow.server.platform import Platform

_log = structlog.get_logger(__name__)

_REVIVE = load("revive")
_AT_ONCE: Final = 200
_CHORDS: Final = (
    "SELECT group_id, run, size, expires_s, header, body "  # noqa: S608
    f"FROM {SCHEMA}.chords WHERE (group_id, run) > ($1, $2) ORDER BY group_id, run LIMIT $3"
)
_PARTS: Final = f"SELECT who, place, ordered, part FROM {SCHEMA}.chord_parts WHERE group_id = $1 AND run = $2 ORDER BY who"  # noqa: S608
_QUEUE: Final = f"SELECT queue FROM {SCHEMA}.executions WHERE task_id = $1 ORDER BY id DESC LIMIT 1"  # noqa: S608
_KNOWN: Final = f"SELECT EXISTS (SELECT FROM {SCHEMA}.executions WHERE task_id = ANY($1::text[]))"  # noqa: S608
_STARTED: Final = f"status_id NOT IN ({', '.join(map(str, states.FINAL_IDS))}) AND attempt_count > 0 AND task_id IS NOT NULL"
_OLDEST: Final = f"SELECT min(id::text)::uuid FROM {SCHEMA}.executions WHERE {_STARTED}"  # noqa: S608
_PUBLISHED: Final = (
    f"SELECT p.id::text, c.task_id FROM {SCHEMA}.executions c "  # noqa: S608
    f"JOIN (SELECT id, task_id FROM {SCHEMA}.executions WHERE id >= $1 AND {_STARTED}) p ON c.parent_id = p.task_id "
    "WHERE c.id >= $1 AND c.task_id IS NOT NULL"
)
_RESULT_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Lost:
    """A chord that is open on record, with the parts that were counted."""

    group: str
    run: str
    size: int
    expires_s: int
    header: str | None
    body: dict[str, Any]
    parts: tuple[tuple[str, str, bool, str], ...]
    """Who, place, whether the header's order is kept, and the part's text."""
    queue: str


async def rebuild(platform: Platform) -> int:
    """Put back what the records have of open chords and Redis has not; how many. To be called by the leading server.

    What is in Redis is left as it is. Raises what an absent database or Redis raises.
    """
    count = 0
    if await asyncio.to_thread(platform.client.get, platform.client.keys_of.leader) != platform.token.encode():
        return 0
    async with platform.engine.connect() as pooled:
        connection: Any = (await pooled.get_raw_connection()).driver_connection
        await _know_again(platform, connection)
        group, run = "", ""
        while rows := await connection.fetch(_CHORDS, group, run, _AT_ONCE):
            for row in rows:
                lost = await _read(connection, row)
                if lost is not None:
                    count += await asyncio.to_thread(_revive, platform, lost) > 0
            group, run = rows[-1]["group_id"], rows[-1]["run"]
    return count


async def _know_again(platform: Platform, connection: asyncpg.Connection) -> None:
    """Mark what followed the executions that will run again as published: it is on record, and is put back itself."""
    oldest = await connection.fetchval(_OLDEST)
    if oldest is None:
        return
    published: dict[str, list[str]] = {}
    for owner, task_id in await connection.fetch(_PUBLISHED, oldest):
        published.setdefault(owner, []).append(task_id)

    def mark() -> None:
        for owner, task_ids in published.items():
            key = platform.client.keys_of.sent(owner)
            platform.client.insist("SADD", key, *task_ids)
            platform.client.expire(key, ONCE_SECONDS)

    await asyncio.to_thread(mark)


async def _read(connection: asyncpg.Connection, row: Any) -> Lost | None:
    """A chord of the records that can be put back; None for one that can't, or whose body is on record itself."""
    parts = await connection.fetch(_PARTS, row["group_id"], row["run"])
    if row["size"] is None or (parts and row["body"] is None):
        return None
    body = json.loads(row["body"] or "{}")
    if await connection.fetchval(_KNOWN, list(task_ids(body))):
        return None
    if any(part["part"] is None for part in parts):
        _log.warning("a chord can't be put back: a part of it was too long to be on record", group=row["group_id"])
        return None
    who = parts[0]["who"].rpartition(":")[0] if parts else ""
    queue = await connection.fetchval(_QUEUE, who) if who else None
    counted = tuple((part["who"], part["place"], part["ordered"], part["part"]) for part in parts)
    return Lost(
        row["group_id"], row["run"], row["size"], row["expires_s"], row["header"], body, counted, queue or "celery"
    )  # fmt: skip


def task_ids(body: Any) -> Iterator[str]:
    """The ids of the tasks that a body publishes first: its own, or those of its first step or its members."""
    if not isinstance(body, dict):
        return
    kind, kwargs = body.get("subtask_type"), body.get("kwargs") or {}
    if kind == "chain":
        yield from task_ids((kwargs.get("tasks") or [None])[0])
    elif kind == "group":
        for one in kwargs.get("tasks") or []:
            yield from task_ids(one)
    elif kind == "chord":
        yield from task_ids(kwargs.get("header"))
    elif (body.get("options") or {}).get("task_id"):
        yield str(body["options"]["task_id"])


def _revive(platform: Platform, lost: Lost) -> int:
    client, prefix = platform.client, _result_prefix(platform.client)
    keys = client.keys_of
    _put_results(client, prefix, lost)
    group = f"{prefix}celery-taskset-meta-{lost.group}"
    endings = (".j", ".t", ".s", ".d", ".c", ".r", "")
    now = time.time()
    ended = {"k": events.CHORD, "id": events.new_id(now), "t": now, "what": "ended", "group": lost.group, "run": lost.run}
    made = publication(unlock_message(lost), lost.queue, keys)
    arguments: list[Any] = [
        platform.token, lost.run, lost.size, lost.expires_s, lost.header or "", len(lost.parts), events.encode(ended),
    ]  # fmt: skip
    for who, place, ordered, part in lost.parts:
        arguments += [who, place, "1" if ordered else "0", part]
    names = [keys.leader, keys.settling, *(group + ending for ending in endings), *made.keys]
    return int(_REVIVE(client, names, [*arguments, *made.arguments]))


def _put_results(client: Client, prefix: str, lost: Lost) -> None:
    """The parts' own results, where they are missing: whoever joins them reads them."""
    for _, _, _, text in lost.parts:
        _, task_id, state, result = json.loads(text)
        meta = {"status": state, "result": result, "traceback": None, "children": [], "date_done": None, "task_id": task_id}
        key = f"{prefix}celery-task-meta-{task_id}"
        client.insist("SET", key, json.dumps(meta), "NX", "EX", lost.expires_s or _RESULT_SECONDS)


def unlock_message(lost: Lost) -> dict[str, Any]:
    """kombu's message of the call that joins the parts and publishes the body; the same each time, but for its tag."""
    task_id = str(uuid5(NAMESPACE_URL, f"windrow:chord/{lost.group}/{lost.run}"))
    ids = [who.rpartition(":")[0] for who, *_ in sorted(lost.parts, key=lambda one: float(one[1]))]
    header = json.loads(lost.header)["result"][1] if lost.header else [[[one, None], None] for one in ids]
    kwargs = {"result": header, "interval": 1}
    body = [[lost.group, lost.body], kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    headers: dict[str, Any] = {
        "lang": "py", "task": "celery.chord_unlock", "id": task_id, "shadow": None, "eta": None, "expires": None, "group": None,
        "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": task_id, "parent_id": None,
        "argsrepr": f"({lost.group!r}, …)", "kwargsrepr": "{}", "origin": "windrow server", "ignore_result": True,
        "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
    }  # fmt: skip
    properties = {
        "correlation_id": task_id, "reply_to": "", "delivery_mode": 2, "priority": 0, "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": lost.queue}, "delivery_tag": str(uuid4()),
    }  # fmt: skip
    return {
        "body": base64.b64encode(json.dumps(body).encode()).decode(), "content-encoding": "utf-8",
        "content-type": "application/json", "headers": headers, "properties": properties,
    }  # fmt: skip


def _result_prefix(client: Client) -> str:
    """What Celery puts before the names of results: the platform's prefix, set off from them."""
    prefix = client.keys_of.prefix
    return prefix if not prefix or prefix[-1] in ":_-." else f"{prefix}_"
