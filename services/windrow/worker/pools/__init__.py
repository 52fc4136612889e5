"""Windrow's own pools, each an ordinary Celery pool: `prefork`, and `threads` and `asyncio`, whose tasks run inside the worker.

`prefork` is Celery's with a way of its own to the children (`prefork`, `child`, `pipes`). A process with tasks inside can't
kill one of them: the soft limit is thrown into it, and past the hard one the process is replaced by its guard
(`windrow.worker.guard`). Nothing here speaks to Redis.
"""

from __future__ import annotations

import sys
from typing import Final

POOLS: Final = {
    # The way to the children needs sockets that keep messages apart, and memory files: Linux has both.
    "prefork": "windrow.worker.pools.prefork:TaskPool" if sys.platform == "linux" else "prefork",
    "threads": "windrow.worker.pools.threads:TaskPool",
    "asyncio": "windrow.worker.pools.coroutines:TaskPool",
}
"""What Celery is told for each pool of a spec."""

IN_PROCESS: Final = frozenset({"threads", "asyncio"})
"""Pools whose tasks run in the worker's own process, and which need a guard."""
