"""What each peer's tasks do: the same bodies for all, nothing imported but the standard library and the counter."""

from __future__ import annotations

import asyncio
import os
import time

from benchmarks import counter

SILENCE = 8
"""Seconds of silence after which a worker counts as dead, for each peer that has a setting for it: Windrow's own figure."""


def noop() -> None:
    counter.tick()


async def noop_async() -> None:
    counter.tick()


def wait50() -> None:
    time.sleep(0.05)
    counter.tick()


async def wait50_async() -> None:
    await asyncio.sleep(0.05)
    counter.tick()


def marked(number: int) -> None:
    """20 ms between two lines in a file: what began and did not end shows."""
    _mark("s", number)
    time.sleep(0.02)
    _mark("e", number)


async def marked_async(number: int) -> None:
    _mark("s", number)
    await asyncio.sleep(0.02)
    _mark("e", number)


def _mark(what: str, number: int) -> None:
    descriptor = os.open(os.environ["BENCH_MARKS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{what} {number}\n".encode())
    os.close(descriptor)
