"""A Redis that is full (maxmemory, noeviction): new tasks are refused, what runs may finish."""

from __future__ import annotations

from kombu.exceptions import OperationalError


class RedisIsFull(OperationalError):
    """Redis must have room for a new task: let workers finish what waits, or raise maxmemory."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"publishing {name} failed: Redis must have room for new tasks, but is full (maxmemory); "
            "let workers finish what waits, or raise maxmemory"
        )


def says_full(error: BaseException) -> bool:
    """Whether an error is Redis' refusal to write for want of memory; in a script older releases say it in their own words."""
    return "command not allowed when used memory" in str(error)
