"""Waiting for a condition with a deadline, in place of sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(fn: Callable[[], T], timeout: float = 10.0, what: str = "", pause: float = 0.02) -> T:
    """The first truthy value of `fn()`, looked for every `pause` seconds; fails after `timeout` seconds, saying `what`."""
    deadline = time.monotonic() + timeout
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or getattr(fn, '__name__', fn)} (last: {value!r})")
        time.sleep(pause)
