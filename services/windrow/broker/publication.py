"""A task message on its way into Redis: its header, its `accepted` event, and the call of `publish.lua` with both."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kombu.utils.json import dumps

from windrow.broker import events
from windrow.broker.keys import Keys, step_of, stored

HEADER = "windrow"
MOST_TEXT = 1024
MOST_MESSAGE = 8 * 1024 * 1024

_origin: tuple[int, str] = (0, "")


@dataclass(frozen=True, slots=True)
class Publication:
    """The keys and arguments of one call of `publish.lua`."""

    keys: list[str]
    arguments: list[str | bytes | int]
    task_id: str
    task: str
    execution: str
    queue: str
    text: str
    """The message itself."""


def publication(message: dict[str, Any], queue: str, keys: Keys, now: float | None = None) -> Publication:
    """What publishes kombu's `message` (a task call) to `queue`; its headers get Windrow's own.

    Raises what encoding raises: TypeError, or kombu's EncodeError, for what is no JSON.
    """
    now = time.time() if now is None else now
    due = _due(message["headers"], now)
    event, replaces = _accept(message, queue, now, due)
    return _call(message, dumps(message), queue, keys, event, replaces)


def kept_publication(text: str, queue: str, keys: Keys, now: float | None = None) -> Publication:
    """What publishes a message that `publication` made before, byte for byte, under the ids and the time it has.

    Its event says that it is `durable`: the recorder then removes it from the outbox. Raises ValueError when the text is no
    such message.
    """
    now = time.time() if now is None else now
    try:
        message = json.loads(text)
        headers, properties = message["headers"], message["properties"]
        header = headers[HEADER]
        execution, at = header["id"], float(header["t"])
        known = bool(headers["task"]) and bool(headers["id"]) and bool(properties["delivery_tag"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"a kept message must be one that Windrow made: {type(error).__name__}: {error}") from error
    if not known or not events.is_id(execution, now):
        raise ValueError(f"a kept message must carry a task, its ids and a delivery tag, and its execution id is {execution!r}")
    event = accepted(execution, headers, properties, queue, at)
    event["due"] = _due(headers, now)
    event["redo_of"] = headers.get("windrow_redo_of")
    event["durable"] = True
    return _call(message, text, queue, keys, event, None)


def _call(
    message: dict[str, Any], text: str, queue: str, keys: Keys, event: events.Event, replaces: tuple[str, str] | None
) -> Publication:
    headers, properties = message["headers"], message["properties"]
    due = event["due"]
    step = step_of(_priority(properties.get("priority")))
    messages = keys.delayed_messages(queue)
    inflight = keys.inflight(replaces[0]) if replaces else messages
    keep = headers.get("windrow_keep", True) and len(text) <= MOST_MESSAGE
    return Publication(
        [keys.step(queue, step), keys.events, keys.queues, keys.delayed(queue), messages, inflight, keys.most_events],
        [
            queue, text, events.encode(event), int(due * 1000) if due else "", stored(step, queue, b""),
            f"{headers['id']}\n{properties['delivery_tag']}",
            replaces[1] if replaces else "", "1" if keep else "",
        ],
        str(headers["id"]),
        str(headers["task"]),
        event["id"],
        queue,
        text,
    )  # fmt: skip


def names_of(properties: dict[str, Any]) -> str:
    """A message's delivery tag and task id as the script `sync` compares them; '' when it must look them up itself."""
    text = f"{properties.get('delivery_tag')}\n{properties.get('correlation_id')}"
    plain = text.isascii() and "\\" not in text and '"' not in text and text.count("\n") == 1
    return text if plain and text.replace("\n", "").isprintable() else ""


def _priority(given: object) -> int:
    """A priority as kombu takes it: what is no number is none."""
    try:
        return int(given)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        return 0


def _due(headers: dict[str, Any], now: float) -> float | None:
    """When a message with an ETA ahead is due, seconds since 1970; None when it may start now."""
    due = _seconds(headers.get("eta"))  # the worker refuses an ETA that is none, with the sentence
    return due if due is not None and due > now else None


def _seconds(moment: object) -> float | None:
    """A time as Celery writes it (ISO 8601, UTC unless it says else) in seconds since 1970; None when it is none."""
    if moment is None:
        return None
    try:
        when = datetime.fromisoformat(moment)  # type: ignore[arg-type]
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _accept(message: dict[str, Any], queue: str, now: float, due: float | None) -> tuple[events.Event, tuple[str, str] | None]:
    """Fill in Windrow's header; the `accepted` event, and whose place a retry takes: (worker, tag)."""
    headers = message["headers"]
    given = headers.get(HEADER) or {}
    again = bool(given) and (headers.get("retries") or 0) > 0
    execution = str(given["id"]) if again else events.new_id(now)
    headers[HEADER] = {"v": events.VERSION, "id": execution, "t": now}
    replaces = (given["worker"], str(given["tag"])) if again and "tag" in given else None
    event = accepted(execution, headers, message["properties"], queue, now)
    event["due"] = due
    event["redo_of"] = headers.get("windrow_redo_of")
    return event, replaces


def accepted(execution: str, headers: dict[str, Any], properties: dict[str, Any], queue: str, now: float) -> events.Event:
    """The `accepted` event of a message with these headers."""
    return {
        "k": events.ACCEPTED,
        "id": execution,
        "t": now,
        "task_id": str(headers.get("id")),
        "tag": str(properties.get("delivery_tag")),
        "queue": queue,
        "task": str(headers.get("task")),
        "args": str(headers.get("argsrepr") or "")[:MOST_TEXT],
        "kwargs": str(headers.get("kwargsrepr") or "")[:MOST_TEXT],
        "due": None,
        "expires": _seconds(headers.get("expires")),
        "priority": properties.get("priority") or 0,
        "root": headers.get("root_id"),
        "parent": headers.get("parent_id"),
        "group": headers.get("group"),
        "external": headers.get("windrow_external"),
        "retries": headers.get("retries") or 0,
        "origin": headers.get("origin") or _own_origin(),
    }


def _own_origin() -> str:
    global _origin
    pid = os.getpid()
    if _origin[0] != pid:
        _origin = (pid, f"{pid}@{socket.gethostname()}")
    return _origin[1]
