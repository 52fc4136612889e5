"""Waiting for a condition with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE = 0.05


def wait_for(look: Callable[[], T | None], timeout: float, what: Callable[[], str]) -> T:
    """The first truthy value of `look()`; AssertionError with `what()` when there is none within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what()}")
        time.sleep(_PAUSE)
