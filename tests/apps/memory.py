"""Tasks that hold memory for a while, or for good."""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import os
import time
from typing import Any

from celery import Celery

app = Celery("memory")
app.conf.task_ignore_result = True

MIB = 1 << 20
_kept: list[Any] = []


def take(mib: int) -> mmap.mmap:
    """So much memory, written to, which goes back to the kernel when it is closed."""
    memory = mmap.mmap(-1, mib * MIB)
    for page in range(0, len(memory), mmap.PAGESIZE):
        memory[page] = 1
    return memory


@app.task
def hold(mib: int, seconds: float = 0.0, *, die: bool = False) -> None:
    memory = take(mib)
    time.sleep(seconds)
    if die:
        os.kill(os.getpid(), 9)
    memory.close()


@app.task
def keep(mib: int) -> None:
    _kept.append(take(mib))


@app.task
def idle(seconds: float = 0.0) -> None:
    time.sleep(seconds)


@app.task
def compute(seconds: float) -> None:
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


@app.task
async def await_idle(seconds: float = 0.0) -> None:
    await asyncio.sleep(seconds)


@app.task
async def await_hold(mib: int, seconds: float = 0.0) -> None:
    memory = take(mib)
    await asyncio.sleep(seconds)
    memory.close()


@app.task
def half(computing: float, waiting: float) -> None:
    compute(computing)
    time.sleep(waiting)


@app.task
async def await_block(mib: int, seconds: float) -> None:
    """Holds the loop, too."""
    memory = take(mib)
    time.sleep(seconds)  # noqa: ASYNC251
    memory.close()


@app.task
def hold_in_c(mib: int, seconds: float) -> None:
    """A thread can't be interrupted here."""
    memory = take(mib)
    ctypes.CDLL(None).usleep(int(seconds * 1_000_000))
    memory.close()
