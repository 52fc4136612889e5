"""A task message on its way into Redis: its header, its `accepted` event, and the call of `publish.lua` with both."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from kombu.utils.json import dumps

from windrow.broker import events
from windrow.broker.keys import Keys, step_of, stored
from windrow.broker.trace import TRACEPARENT, put_begun, trace_of

HEADER = "windrow"
MOST_TEXT = 1024
MOST_MESSAGE = 8 * 1024 * 1024

ONCE_SECONDS = 7 * 86400
"""How long it is known what an execution has published, if its end does not make that shorter."""
_EVENTS = 2
"""The place of the events among the arguments of `publish.lua`."""
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
    headers, properties = message["headers"], message["properties"]
    given = header_of(headers)
    if given.get("as"):
        properties["delivery_tag"] = given["as"]["tag"]
    due = _due(headers, now)
    event, replaces = _accept(message, queue, now, due)
    return _call(message, dumps(message), queue, keys, event, replaces, given)


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
    event = accepted(execution, headers, properties, queue, at, trace_of(headers.get(TRACEPARENT)))
    event["due"] = _due(headers, now)
    event["redo_of"] = headers.get("windrow_redo_of")
    event["durable"] = True
    return _call(message, text, queue, keys, event, None, {})


def _call(
    message: dict[str, Any],
    text: str,
    queue: str,
    keys: Keys,
    event: events.Event,
    replaces: tuple[str, str] | None,
    given: dict[str, Any],
) -> Publication:
    """`given` is the header with which the message came: who owes it."""
    headers, properties = message["headers"], message["properties"]
    once = given.get("once")
    due = event["due"]
    step = step_of(_priority(properties.get("priority")))
    messages = keys.delayed_messages(queue)
    inflight = keys.inflight(replaces[0]) if replaces else messages
    keep = headers.get("windrow_keep", True) and len(text) <= MOST_MESSAGE
    return Publication(
        [
            keys.step(queue, step), keys.events, keys.queues, keys.delayed(queue), messages, inflight, keys.most_events,
            keys.sent(once) if once else messages, keys.refused,
        ],
        [
            queue, text, events.encode(event), int(due * 1000) if due else "", stored(step, queue, b""),
            f"{headers['id']}\n{properties['delivery_tag']}",
            replaces[1] if replaces else "", "1" if keep else "", "", _member(headers, given, properties) if once else "",
            given.get("for", ONCE_SECONDS),
        ],
        str(headers["id"]),
        str(headers["task"]),
        event["id"],
        queue,
        text,
    )  # fmt: skip


def with_event(publication: Publication, event: events.Event) -> Publication:
    """The same publication, which puts one more event on the stream in its step."""
    arguments = list(publication.arguments)
    arguments[_EVENTS] = f"{arguments[_EVENTS]!s},{events.encode(event)}"
    return replace(publication, arguments=arguments)


def header_of(headers: dict[str, Any]) -> dict[str, Any]:
    """Windrow's header among a message's; empty when there is none, or a stranger's."""
    given = headers.get(HEADER)
    return given if isinstance(given, dict) else {}


def _member(headers: dict[str, Any], given: dict[str, Any], properties: dict[str, Any]) -> str:
    """The name under which its owner publishes a call once."""
    if given.get("takes"):
        return str(properties["delivery_tag"])  # its ids are new in each attempt
    return str(headers["id"])


def names_of(properties: dict[str, Any]) -> tuple[str, str]:
    """A message's delivery tag and task id as the script `sync` compares them; empty when it must look them up itself."""
    delivery, task_id = properties.get("delivery_tag"), properties.get("correlation_id")
    if not (isinstance(delivery, str) and isinstance(task_id, str)):
        return "", ""
    text = delivery + task_id
    plain = text.isascii() and text.isprintable() and "\\" not in text and '"' not in text
    return (delivery, task_id) if plain else ("", "")


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
    """Fill in Windrow's header; the `accepted` event, and whose place a retry or a replacement takes: (worker, tag)."""
    headers = message["headers"]
    given = header_of(headers)
    takes = bool(given.get("takes"))
    again = "id" in given and (takes or (headers.get("retries") or 0) > 0)
    named = given if again else given.get("as")
    execution = str(named["id"]) if named else events.new_id(now)
    headers[HEADER] = {"v": events.VERSION, "id": execution, "t": now}
    trace = put_begun(headers, execution)
    replaces = (given["worker"], str(given["tag"])) if (again or takes) and "tag" in given else None
    event = accepted(execution, headers, message["properties"], queue, now, trace)
    event["due"] = due
    event["redo_of"] = headers.get("windrow_redo_of")
    return event, replaces


def accepted(
    execution: str, headers: dict[str, Any], properties: dict[str, Any], queue: str, now: float, trace: str | None
) -> events.Event:
    """The `accepted` event of a message with these headers, in this trace."""
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
        "nesting": headers.get("replaced_task_nesting") or 0,
        "origin": headers.get("origin") or _own_origin(),
        "trace": trace,
    }


def _own_origin() -> str:
    global _origin
    pid = os.getpid()
    if _origin[0] != pid:
        _origin = (pid, f"{pid}@{socket.gethostname()}")
    return _origin[1]
