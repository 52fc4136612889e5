"""A worker's end at once: running tasks are killed first, then everything in flight goes back to its queue."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from windrow.broker import events
from windrow.broker.inflight import UNKNOWN
from windrow.broker.keys import HANDED_ON
from windrow.broker.scripts import load
from windrow.worker.report import ended_event

if TYPE_CHECKING:
    from windrow.worker.session import Session

LONGEST_SECONDS = 2.0
"""How long killed children are waited for."""


def kill_children(pool: Any) -> None:
    """Kill a prefork pool's processes and wait for their end; other pools have none."""
    inner = getattr(pool, "_pool", None)
    pids = [process.pid for process in (getattr(inner, "_pool", None) or ())]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + LONGEST_SECONDS
    while pids and time.monotonic() < deadline:
        pids = [pid for pid in pids if not _reaped(pid)]
        time.sleep(0.002)


def hand_back_all(session: Session) -> None:
    """Give back all that a session's worker has in flight; its tasks must have ended. Raises redis.RedisError."""
    taker, keys = session.taker, session.client.keys_of
    if taker is None:
        return
    inflight = taker.inflight
    # A new epoch: a call that is still under way is refused, and the in-flight set says what came of the last one.
    names = [keys.epochs, keys.gone, keys.workers, keys.inflight(session.id)]
    answer = load("resume")(session.client, names, [session.id, -1, session.info])
    held = {int(tag): value for tag, value in zip(answer[1::2], answer[2::2], strict=True)}
    inflight.resumed(held)
    for tag in sorted(inflight.messages, reverse=True):
        request = session.attempts.running.get(tag)
        event = ended_event(request, "handed_back", "ready", reason="the worker was stopped at once") if request else None
        if held.get(tag) == HANDED_ON:
            event = ended_event(request, "retried", None) if request else None
            inflight.say("F", tag, events.encode(event) if event else "", "", *UNKNOWN)
        else:
            inflight.say("G", tag, events.encode(event) if event else "")
    arguments: list[Any] = [session.id, -1, int(time.time() * 1000), session.queue, 0, 0, keys.prefix, "x"]
    for operation in inflight.batch():
        arguments.extend(operation)
    load("sync")(session.client, taker.sync_keys, arguments)


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
