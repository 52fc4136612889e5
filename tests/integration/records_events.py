"""Events as workers and producers tell them, for tests of the records and the server."""

from __future__ import annotations

import random
import time
from typing import Any

from windrow.broker import events
from windrow.broker.events import Event, new_id

STREAM = "windrow:events"


def accepted(execution: str, *, queue: str = "default", task: str = "a.task", **more: Any) -> Event:
    """A task call was accepted."""
    call = {"queue": queue, "task": task, "task_id": f"task-{execution}", "tag": f"tag-{execution}", "retries": 0}
    return {"k": "accepted", "id": execution, "t": time.time(), **call, "args": "()", "kwargs": "{}", "message": "{}", **more}


def started(execution: str, attempt: str, *, queue: str = "default", task: str = "a.task", retries: int = 0) -> Event:
    """An attempt started."""
    event = {"k": "started", "id": execution, "t": time.time(), "queue": queue, "task": task, "attempt": attempt}
    return event | {"worker": "w", "pid": 7, "retries": retries, "recoveries": 0, "wait": 0.25}


def ended(
    execution: str, attempt: str | None, state: str | None, outcome: str | None, *, queue: str = "default",
    task: str = "a.task", **more: Any,
) -> Event:  # fmt: skip
    """An attempt ended."""
    now = time.time()
    event = {"k": "ended", "id": execution, "t": now, "queue": queue, "task": task, "attempt": attempt, "state": state}
    return event | {"outcome": outcome, "worker": "w", "retries": 0, "started": now, "run": 0.5, "wait": 0.25} | more


def lifecycle(execution: str, dice: random.Random) -> list[Event]:
    """All events of one execution, as they come in the stream: some attempts, and mostly a final."""
    queue, task = dice.choice(["default", "file_queue"]), dice.choice(["a.task", "b.task"])
    call = {"queue": queue, "task": task}
    made = [accepted(execution, **call)]
    for retries in range(dice.randrange(3)):
        attempt = new_id()
        if dice.random() < 0.7:
            made.append(started(execution, attempt, retries=retries, **call))
        tag = f"tag-{execution}-{retries + 1}"
        made.append(accepted(execution, retries=retries + 1, tag=tag, due=time.time() + 9, message="{2}", **call))
        made.append(ended(execution, attempt, None, "retried", retries=retries, error="OSError", **call))
    last = {**call, "retries": sum(event.get("outcome") == "retried" for event in made)}
    outcome = dice.choice(["success", "success", "failed", "timed_out", "killed", "none"])
    attempt = new_id()
    if outcome == "none":
        made.append(ended(execution, None, dice.choice(["expired", "cancelled", "rejected"]), None, **last))
    elif outcome == "killed":
        made.append(started(execution, attempt, **last))
        made.append(ended(execution, attempt, "lost", "killed", **last))
    else:
        made.append(ended(execution, attempt, outcome, outcome, error=None if outcome == "success" else "ValueError", **last))
    if dice.random() < 0.2:
        made.append(made[-1])  # told twice
    return made[: dice.choice([1, 2, 99, 99, 99, 99])]


def workload(executions: int, seed: int) -> list[Event]:
    """The events of many executions, interleaved, each execution's own in order."""
    dice = random.Random(seed)
    queues = [lifecycle(new_id(), dice) for _ in range(executions)]
    made: list[Event] = []
    while queues:
        index = dice.randrange(min(len(queues), 50))
        made.append(queues[index].pop(0))
        if not queues[index]:
            queues.pop(index)
    return made


def push(client: Any, told: list[Event], *, together: int = 3) -> None:
    """Append events to the stream, `together` to an entry."""
    with client.pipeline(transaction=False) as pipe:
        for start in range(0, len(told), together):
            pipe.xadd(STREAM, events.fields(*told[start : start + together]))
        pipe.execute()


def read(client: Any, after: str = "0-0", count: int | None = None) -> list[tuple[str, list[Event]]]:
    """The stream's entries after a position."""
    found = client.xrange(STREAM, min=f"({after}", count=count)
    return [(entry.decode(), events.decode(fields)) for entry, fields in found]
