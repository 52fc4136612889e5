"""Reading the exact totals, all of them at each scrape, without holding up the event loop that asks.

There may be some ninety thousand; as rows of a query they would take half a second of the loop. COPY gives them as text in
some milliseconds, and the text is taken apart in a thread.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Final

import asyncpg

from windrow.records.tables import SCHEMA

Total = tuple[str, str, str, str, int]
"""kind, queue, task, label, value."""

_QUERY: Final = f"SELECT kind, queue, task, label, value FROM {SCHEMA}.totals ORDER BY kind, queue, task, label"  # noqa: S608
_ESCAPED: Final = re.compile(r"\\(.)")
_MEANT: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}


async def read(connection: asyncpg.Connection) -> list[Total]:
    """Every exact total, in the order of its names. Raises what asyncpg raises."""
    parts: list[bytes] = []

    async def keep(part: bytes) -> None:
        parts.append(part)

    await connection.copy_from_query(_QUERY, output=keep)
    return await asyncio.to_thread(lambda: list(_parsed(b"".join(parts))))


def _parsed(text: bytes) -> Iterator[Total]:
    """The rows of COPY's text: a line each, tabs between, with what is in names escaped."""
    for line in text.decode().split("\n")[:-1]:
        kind, queue, task, label, value = line.split("\t")
        if "\\" in line:
            queue, task, label = (_ESCAPED.sub(_unescaped, name) for name in (queue, task, label))
        yield kind, queue, task, label, int(value)


def _unescaped(found: re.Match[str]) -> str:
    return _MEANT.get(found[1], found[1])
