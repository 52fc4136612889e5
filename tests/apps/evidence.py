"""Tasks that write down what they do, one line a step, so that a test can judge without asking the code under test."""

from __future__ import annotations

import asyncio
import contextvars
import os
import time

import structlog
from celery import Celery, current_task

app = Celery("evidence")
app.conf.task_ignore_result = False


def note(what: str, task_id: str, extra: str = "") -> None:
    """Append a line to the file of evidence; one write is one line, also with many writers."""
    line = f"{time.monotonic():.6f} {os.getpid()} {what} {task_id} {extra}\n"
    fd = os.open(os.environ["EVIDENCE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


@app.task(bind=True, ignore_result=True)
def work(self, seconds=0.0):
    note("start", self.request.id)
    time.sleep(seconds)
    note("end", self.request.id)


@app.task(bind=True, ignore_result=True, acks_late=False)
def work_early(self, seconds=0.0):
    note("start", self.request.id)
    time.sleep(seconds)
    note("end", self.request.id)


@app.task(bind=True)
def die(self):
    note("start", self.request.id)
    os.kill(os.getpid(), 9)


@app.task(bind=True, max_retries=5)
def again(self, times, countdown=0.0):
    note("start", self.request.id, str(self.request.retries))
    if self.request.retries < times:
        raise self.retry(countdown=countdown)
    return self.request.retries


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fail(text):
    raise ValueError(text)


@app.task
def tell_and_fail(text):
    print(f"about to fail: {text}")
    raise ValueError(text)


@app.task(soft_time_limit=0.5, time_limit=20)
def too_slow():
    time.sleep(30)


@app.task(time_limit=1)
def far_too_slow():
    time.sleep(30)


@app.task(rate_limit="10/s")
def limited():
    return time.time()


@app.task(bind=True, ignore_result=True)
async def await_a_while(self, seconds=0.0):
    note("start", self.request.id)
    await asyncio.sleep(seconds)
    note("end", self.request.id)


@app.task(bind=True, max_retries=5)
async def await_again(self, times, countdown=0.0, wait=0.01):
    note("start", self.request.id, str(self.request.retries))
    await asyncio.sleep(wait)
    if self.request.retries < times:
        raise self.retry(countdown=countdown)
    return self.request.retries


@app.task
async def await_add(x, y):
    await asyncio.sleep(0)
    return x + y


@app.task(bind=True, soft_time_limit=0.5, time_limit=20)
async def await_too_long(self):
    try:
        await asyncio.sleep(30)
    except Exception as error:
        note("caught", self.request.id, type(error).__name__)
        raise
    finally:
        note("finally", self.request.id)


@app.task(bind=True, time_limit=1)
async def block_the_loop(self):
    note("start", self.request.id)
    time.sleep(30)  # noqa: ASYNC251 - the mistake that must not stop the worker


@app.task(bind=True)
async def await_progress(self, wait=0.0):
    note("start", self.request.id)
    await asyncio.sleep(wait)
    for step in range(3):
        self.update_state(state="PROGRESS", meta={"step": step})
        await asyncio.sleep(0.01)
    return "done"


colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


@app.task(bind=True)
async def await_colour(self, name):
    colour.set(name)
    structlog.contextvars.bind_contextvars(colour=name)
    await asyncio.sleep(0.1)
    seen = await asyncio.create_task(_colours())
    return [*seen, self.request.id == current_task.request.id, await asyncio.to_thread(lambda: current_task.request.id)]


async def _colours():
    await asyncio.sleep(0.05)
    return [colour.get(), structlog.contextvars.get_contextvars().get("colour")]


@app.task(bind=True)
def sleep_in_c(self, seconds):
    note("start", self.request.id)
    time.sleep(seconds)
    note("end", self.request.id)


@app.task(bind=True)
async def tick(self, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        note("tick", self.request.id)
        await asyncio.sleep(0.02)


@app.task(bind=True, soft_time_limit=0.5, time_limit=20)
def spin(self):
    try:
        while True:
            sum(range(100))
    except Exception as error:
        note("caught", self.request.id, type(error).__name__)
        raise


@app.task
def tell(text):
    """Say it in each of the ways in which a task may."""
    from celery.utils.log import get_task_logger

    get_task_logger("tests.tell").info("told %s", text)
    structlog.stdlib.get_logger("tests.structured").info("structured", text=text)
    print(f"printed {text}")
    raise KeyError(text)
