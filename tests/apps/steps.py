"""Tasks of canvases, which write down what they do and can be killed at a chosen moment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from celery import Celery, Task, chain, chord, group
from celery.backends.base import Backend
from celery.backends.redis import RedisBackend

from tests.apps.evidence import note
from windrow.authoring import chords
from windrow.authoring.direct import Outlet

app = Celery("steps")
app.conf.task_ignore_result = False


def once(name: str) -> bool:
    """True the first time in a test that this is asked for `name`, whatever process asks."""
    try:
        Path(f"{os.environ['EVIDENCE']}-{name}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def die() -> None:
    """End this process as the kernel does for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(told: Callable[..., Any]) -> Callable[..., Any]:
    """With DIE_AT=<task name>, the first process that has published what follows a call of it dies before it tells more."""

    def tell(self: Any, *args: Any, **more: Any) -> Any:
        request = more.get("request") or args[2]
        if os.environ.get("DIE_AT") == request.task and once("died"):
            die()
        return told(self, *args, **more)

    return tell


Backend.mark_as_done = _dying(Backend.mark_as_done)


def _call(backend: Any, script: str, keys: list[Any], arguments: list[Any], call: Any = chords._call) -> Any:
    """With DIE_PART=<moment>, the first process that comes there dies, or finds Redis away."""
    moment = os.environ.get("DIE_PART")
    ends = script == "chord" and arguments[1] != "size"
    if ((script == "part" and moment == "before") or (ends and moment == "published")) and once("died"):
        die()
    if script == "part" and moment == "away" and once("away"):
        backend = Away(backend)
    answer = call(backend, script, keys, arguments)
    if script == "part" and moment == ("counted" if len(answer) == 2 else "complete") and once("died"):
        die()
    return answer


chords._call = _call


def _get(self: Any, key: Any, get: Any = RedisBackend.get) -> Any:
    """With DIE_PART=away, Redis is away when a result is about to be stored."""
    if os.environ.get("DIE_PART") == "away" and once("away-get"):
        raise redis.ConnectionError("away")
    return get(self, key)


RedisBackend.get = _get


class Away:
    """A backend whose Redis is away for its first call."""

    def __init__(self, backend: Any) -> None:
        self._backend, self._tries = backend, 0

    def ensure(self, fun: Any, args: Any) -> Any:
        return self._backend.ensure(fun, args)

    @property
    def client(self) -> Any:
        self._tries += 1
        if self._tries == 1:
            raise redis.ConnectionError("away")
        return self._backend.client


class Dying(Task):
    """With DIE_AT, dies after its errbacks were published."""

    def on_failure(self, *_: Any) -> None:
        if os.environ.get("DIE_AT") == self.name and once("died"):
            die()


@app.task(bind=True)
def step(self, before, name="step", seconds=0.0):
    note("start", self.request.id, name)
    time.sleep(seconds)
    note("end", self.request.id, name)
    return f"{before}-{name}"


@app.task(bind=True)
def follow(self, before):
    note("follow", self.request.id, str(before))
    return before


@app.task(bind=True)
def part(self, name):
    note("part", self.request.id, name)
    return [name, self.request.windrow["attempt"]]


@app.task(bind=True)
def join(self, parts):
    note("join", self.request.id)
    return parts


@app.task(bind=True, durable=True)
def durable_follow(self, before):
    note("follow", self.request.id, str(before))


@app.task(bind=True)
def told(self, failed_id):
    note("told", self.request.id, failed_id)


@app.task(bind=True)
def stays(self):
    note("stays", self.request.id)
    time.sleep(60)


@app.task(bind=True, acks_late=False)
def stays_early(self):
    note("stays", self.request.id)
    time.sleep(60)


@app.task(bind=True, base=Dying)
def fails(self):
    note("fails", self.request.id)
    raise ValueError("as it should")


@app.task(bind=True)
def swap(self, kind, dies=""):
    note("swap", self.request.id, kind)
    if dies and once("died"):
        send = Outlet.send_together
        Outlet.send_together = lambda *args: (send(*args) if dies == "after" else None, die())
    new = step.si(kind)
    kinds = {
        "task": new,
        "chain": chain(new, follow.s()),
        "group": group(new, step.si("two")),
        "chord": chord([new, step.si("two")], join.s()),
    }
    raise self.replace(kinds[kind])


@app.task(bind=True)
async def await_swap(self, kind):
    note("swap", self.request.id, kind)
    raise self.replace(step.si(kind) if kind == "task" else chain(step.si(kind), follow.s()))
