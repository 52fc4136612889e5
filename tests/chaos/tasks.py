"""The tasks of the chaos suite: each body writes down its start and its end, so that nobody need ask the code under test.

The same app serves Windrow and, with CHAOS_SYSTEM=celery, bare Celery with its best settings.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from tests.chaos import bare

app = Celery("chaos")
app.conf.task_default_queue = "chaos"
if os.environ.get("CHAOS_SYSTEM") == "celery":
    bare.configure(app)
else:
    app.conf.task_ignore_result = True

_LOOSE = {"max_retries": 1000}


@contextmanager
def attempt(task, label="-", due=None) -> Iterator[None]:
    """Write down the start of a body and its end: `end` when it ran to its end, `stop` when an exception left it."""
    token = secrets.token_hex(6)
    request = task.request
    step = f"{task.name.rsplit('.', 1)[-1]}/{request.retries}"
    _note("start", request.id, step, token, label, "-" if due is None else f"{due:.6f}")
    try:
        yield
    except BaseException as error:
        _note("stop", request.id, step, token, label, type(error).__name__)
        raise
    _note("end", request.id, step, token, label, "-")


def _note(*words: str) -> None:
    """Append a line; one write is one line, also with many writers."""
    line = f"{time.monotonic():.6f} {os.getpid()} {' '.join(words)}\n"
    fd = os.open(os.environ["CHAOS_EVIDENCE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


@app.task(bind=True)
def work(self, seconds=0.0, label="-", due=None):
    with attempt(self, label, due):
        time.sleep(seconds)


@app.task(bind=True)
async def awork(self, seconds=0.0, label="-", due=None):
    with attempt(self, label, due):
        await asyncio.sleep(seconds)


@app.task(bind=True)
def die(self):
    with attempt(self):
        os.kill(os.getpid(), 9)


@app.task(bind=True, time_limit=1)
def hard(self):
    with attempt(self):
        time.sleep(30)


@app.task(bind=True, soft_time_limit=0.5, time_limit=1.5)
def swallow(self):
    """Swallows the soft limit: the hard one must end it."""
    with attempt(self):
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                time.sleep(0.05)
            except SoftTimeLimitExceeded:
                continue


@app.task(bind=True, soft_time_limit=0.5, time_limit=1.5)
async def aswallow(self):
    with attempt(self):
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                await asyncio.sleep(0.05)
            except SoftTimeLimitExceeded:
                continue


@app.task(bind=True, time_limit=1)
async def block(self):
    """Blocks the loop that its neighbours run on."""
    with attempt(self):
        time.sleep(30)  # noqa: ASYNC251 - the mistake that must not stop the worker


@app.task(bind=True, ignore_result=False)
def step(self, previous=None, seconds=0.0, label="-"):
    """A step of a canvas; its result goes on to the next."""
    with attempt(self, label):
        time.sleep(seconds)
    return label


@app.task(bind=True, ignore_result=False)
def body(self, parts, label="-"):
    """A chord's body."""
    with attempt(self, label):
        return len(parts)


@app.task(bind=True, ignore_result=False, **_LOOSE)
def again(self, times, seconds=0.0, label="-"):
    """Asks for a retry `times` times."""
    last = self.request.retries >= times
    with attempt(self, f"{label}.{self.request.retries}" if label != "-" else label):
        time.sleep(seconds)
        if not last:
            raise self.retry(countdown=0)


@app.task(bind=True, ignore_result=False)
def replaced(self, seconds=0.0, label="-"):
    """Puts another task in its place."""
    with attempt(self, f"{label}.r"):
        time.sleep(seconds)
        raise self.replace(app.tasks["tests.chaos.tasks.step"].si(seconds=seconds, label=label))
