"""Windrow's own pools: `threads` and `asyncio`, ordinary Celery pools whose tasks run inside the worker's process.

`prefork` is Celery's. A process with tasks inside can't kill one of them: the soft limit is thrown into it, and past the hard
one the process is replaced by its guard (`windrow.worker.guard`). Nothing here speaks to Redis.
"""

from __future__ import annotations

from typing import Final

POOLS: Final = {
    "prefork": "prefork",
    "threads": "windrow.worker.pools.threads:TaskPool",
    "asyncio": "windrow.worker.pools.coroutines:TaskPool",
}
"""What Celery is told for each pool of a spec."""

IN_PROCESS: Final = frozenset({"threads", "asyncio"})
"""Pools whose tasks run in the worker's own process, and which need a guard."""
