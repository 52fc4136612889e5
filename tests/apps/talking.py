"""Tasks that say something in each of the ways in which a task may, and end in each of the ways in which one can."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time

import structlog
from celery import Celery

from windrow import run_async

app = Celery("talking")

plain = logging.getLogger("tests.plain")
structured = structlog.get_logger("tests.structured")


def say_all(what):
    plain.info("%s by logging", what)
    structured.info(f"{what} by structlog", number=1)


@app.task
def silent():
    return None


@app.task
def say(text):
    say_all(text)


@app.task
def say_in_a_coroutine():
    say_all("outside")
    run_async(_inside())


@app.task
async def await_say():
    say_all("outside")
    await _inside()


async def _inside():
    await asyncio.create_task(_nested())
    await asyncio.to_thread(say_all, "in a thread")


async def _nested():
    await asyncio.sleep(0)
    say_all("nested")


@app.task
def say_and_fail():
    say_all("before")
    try:
        raise KeyError("no such thing")
    except KeyError:
        structured.exception("caught", number=2)
    raise ValueError("uncaught")


@app.task(bind=True)
def say_and_die(self):
    say_all("before death")
    os.kill(os.getpid(), 9)


@app.task(time_limit=1)
def say_and_hang():
    say_all("before the limit")
    time.sleep(30)


@app.task(time_limit=1)
async def say_and_block():
    say_all("before the limit")
    time.sleep(30)  # noqa: ASYNC251 - the mistake that is meant


@app.task
def say_much(lines):
    for number in range(lines):
        plain.info("line %d", number)


@app.task(redact=("password",))
def say_secret(password):
    plain.info("the password is %s", password)


@app.task(redact=("password",), keep_log=True)
def say_secret_anyway(password):
    plain.info("a password came")


@app.task(keep_log=False)
def say_privately():
    plain.info("nobody's business")


@app.task(bind=True, max_retries=3)
def say_each_time(self, times):
    plain.info("attempt %d", self.request.retries)
    if self.request.retries < times:
        raise self.retry(countdown=0)


@app.task
def say_later():
    plain.info("at once")
    threading.Timer(0.3, plain.info, ("too late",)).start()


@app.task
def wait(seconds):
    time.sleep(seconds)


@app.task
def call_on(levels):
    plain.info("level %d", levels)
    if levels:
        call_on.apply_async((levels - 1,), queue="work")


@app.task(bind=True)
def replace(self):
    raise self.replace(silent.si().set(queue="work"))
