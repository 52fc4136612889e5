"""What a worker's ended process had taken: given back, counted, or left for the next process to end. Its lease goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, cast

from windrow.broker import events
from windrow.broker.client import Client
from windrow.broker.inflight import UNKNOWN, Operation
from windrow.broker.keys import HANDED_ON, unstored
from windrow.broker.scripts import load
from windrow.broker.untold import set_aside
from windrow.worker.board import Board, Overdue, Running


class Past(Enum):
    """What became of the process."""

    REPLACED = "replaced, because a task overran its hard limit"
    DIED = "lost"
    RECYCLED = "replaced after its number of tasks, or past its memory"
    STOPPED = "stopped at once"


def settle(
    client: Client,
    worker: str,
    queue: str,
    generation: int,
    past: Past,
    board: Board,
    overdue: Mapping[int, Overdue],
    most: int,
    peak: int | None = None,
) -> None:
    """Settle everything in the in-flight set but what is overdue; `most` is how many recoveries an execution may have.

    `peak` is what the process held, in bytes.

    `generation` tells this worker's connections apart: what the ended process still had under way is refused from now on.
    Raises redis.RedisError.
    """
    keys = client.keys_of
    epoch = f"settle-{generation}"
    info = client.hget(keys.workers, worker)
    if info is None:
        return  # it had not registered, so it has taken nothing
    answer = load("resume")(client, [keys.epochs, keys.gone, keys.workers, keys.inflight(worker)], [worker, epoch, info])
    held = {int(tag): value for tag, value in zip(answer[1::2], answer[2::2], strict=True)}
    notes = cast(dict[bytes, bytes], client.hgetall(keys.started(worker)))
    started = {int(tag): json.loads(text) for tag, text in notes.items()}
    runs = board.running()
    for tag, running in runs.items():
        # Started, and ended with its process before that could be told.
        if tag in held and tag not in started:
            started[tag] = _note(running, queue, held[tag])
            client.insist("HSET", keys.started(worker), str(tag), events.encode(started[tag]))
    logs = {tag: running.log for tag, running in runs.items() if running.log}
    operations = decide(held, started, past, overdue, most, worker, time.time(), logs, peak)
    if not operations:
        return
    arguments: list[Any] = [worker, epoch, int(time.time() * 1000), queue, -1, 0, keys.prefix, ""]
    for operation in operations:
        arguments.extend(operation)
        if operation[0] == "F" and operation[3]:
            set_aside(
                client, str(operation[3]), "acknowledged early, and its process was " + past.value, held[int(operation[1])]
            )
    answer = load("sync")(client, keys.of_sync(worker, queue), arguments)
    for tag, count, lost in answer[7] if answer[0] else ():
        if lost:
            note = started[int(tag)]
            set_aside(client, note["id"], f"its process died {count} times (maxRecoveries is {most})", held[int(tag)])


def leave(client: Client, worker: str) -> int:
    """Say goodbye for a worker; answers how much it still has in flight, which is recovery's. Raises redis.RedisError."""
    keys = client.keys_of
    names = [keys.epochs, keys.beats, keys.workers, keys.drain, keys.inflight(worker), keys.started(worker)]
    return int(load("leave")(client, names, [worker]))


def _note(running: Running, queue: str, value: bytes) -> dict[str, Any]:
    try:
        task = str(json.loads(unstored(value)[2])["headers"]["task"])
    except (ValueError, KeyError, TypeError):
        task = ""
    return {
        "id": running.execution, "attempt": running.attempt, "queue": queue, "task": task, "t": running.started,
        "early": running.early,
    }  # fmt: skip


def decide(
    held: Mapping[int, bytes], started: Mapping[int, dict[str, Any]], past: Past, overdue: Mapping[int, Overdue], most: int,
    worker: str, now: float, logs: Mapping[int, str] = MappingProxyType({}), peak: int | None = None,
) -> list[Operation]:  # fmt: skip
    """The operations that settle `held`: what was taken last goes back first, so that the oldest is next in line. Pure.

    `logs`: what the attempts logged, by tag; `peak`: what their process held, in bytes.
    """
    operations: list[Operation] = []
    for tag in sorted(held, reverse=True):
        if tag in overdue:
            continue
        note = started.get(tag)
        if note is not None and tag in logs:
            note = {**note, "log": logs[tag]}
        if note is not None and peak is not None:
            note = {**note, "peak": peak}
        if held[tag] == HANDED_ON:
            operations.append(
                ("F", tag, events.encode(_ended(note, "retried", None, worker, now)) if note else "", "", *UNKNOWN)
            )
        elif note is None:
            operations.append(("G", tag, ""))
        elif note.get("early"):
            event = _ended(note, "killed", "lost", worker, now, "acknowledged early, and its process was " + past.value)
            operations.append(("F", tag, events.encode(event), note["id"], *UNKNOWN))
        elif past is Past.DIED:
            back = _ended(note, "killed", "ready", worker, now, "its process died")
            lost = _ended(note, "killed", "lost", worker, now, "its process died too often")
            operations.append(("K", tag, note["id"], most, events.encode(back)[:-1], events.encode(lost)[:-1]))
        else:
            event = _ended(note, "handed_back", "ready", worker, now, "its process was " + past.value)
            operations.append(("G", tag, events.encode(event)))
    return operations


def _ended(
    note: Mapping[str, Any], outcome: str, state: str | None, worker: str, now: float, reason: str | None = None
) -> events.Event:
    return {
        "k": events.ENDED, "id": note["id"], "t": now, "attempt": note["attempt"], "outcome": outcome, "state": state,
        "queue": note["queue"], "task": note["task"], "worker": worker, "started": note["t"],
        "run": max(now - note["t"], 0.0), "error": "WorkerLostError" if outcome == "killed" else None, "reason": reason,
        **{name: note[name] for name in ("log", "peak") if name in note},
    }  # fmt: skip
