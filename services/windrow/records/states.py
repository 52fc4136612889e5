"""The states of an execution, what each means, and which may follow which.

```
            accepted ──► ready ◄──────────┐ ◄───────────────┐
               │           │ started      │ handed back,    │ due
               │ due ahead ▼              │ recovered       │
               └─► delayed ─► running ────┴──► retrying ────┘
                                │                 (a retry was asked for; its message waits until it is due)
                                ▼
        success | failed | timed_out | lost | expired | cancelled | rejected
```

Every state but a final may go to any final. A final never changes: a redo is a new execution that names the old one.
"""

from __future__ import annotations

from typing import Final

READY: Final = "ready"
"""May start now: its message waits in its queue, or a worker has it and has not started it."""

DELAYED: Final = "delayed"
"""Its message waits for a due time ahead; when that has passed it starts as if it were ready."""

RUNNING: Final = "running"
"""An attempt has started and not ended."""

RETRYING: Final = "retrying"
"""An attempt ended in a retry; the next one waits until it is due."""

SUCCESS: Final = "success"
"""The body returned, or raised Ignore (then `reason` says so)."""

FAILED: Final = "failed"
"""The body raised, and no retry is left."""

TIMED_OUT: Final = "timed_out"
"""An attempt passed its time limit, and no retry is left."""

LOST: Final = "lost"
"""It died with its worker and may not start again; `reason` says why."""

EXPIRED: Final = "expired"
"""It was not started before its expiry."""

CANCELLED: Final = "cancelled"
"""A person or a program revoked it, or purged its queue."""

REJECTED: Final = "rejected"
"""Its message was no task Windrow can run; `reason` says why."""

STATUS_IDS: Final[dict[str, int]] = {
    READY: 1,
    DELAYED: 2,
    RUNNING: 3,
    RETRYING: 4,
    SUCCESS: 5,
    FAILED: 6,
    TIMED_OUT: 7,
    LOST: 8,
    EXPIRED: 9,
    CANCELLED: 10,
    REJECTED: 11,
}
"""`execution_statuses`: each state's code and its id, which never changes."""

CODES: Final = {number: code for code, number in STATUS_IDS.items()}

FINALS: Final = frozenset({SUCCESS, FAILED, TIMED_OUT, LOST, EXPIRED, CANCELLED, REJECTED})

FINAL_IDS: Final = tuple(STATUS_IDS[state] for state in STATUS_IDS if state in FINALS)
