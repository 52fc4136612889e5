"""What follows from a message's absence: pure decisions of the reconciler."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from windrow.broker.keys import step_of
from windrow.records import clean, states
from windrow.records.unfinished import Unfinished

YOUNG_S: Final = 300.0
"""An execution that was accepted less than this ago is nobody's suspect."""
OVERDUE_S: Final = 60.0
OVERTAKEN_S: Final = 60.0
"""How much later the message that is taken next must have been accepted."""

NOT_KEPT: Final = "payload not kept"
EARLY: Final = "acknowledged early, and Redis has lost it"
REBUILT: Final = "rebuilt: Redis had lost it"


@dataclass(frozen=True, slots=True)
class Broker:
    """The Redis that is there: its run, and the marker that the last comparison left; None where there is none."""

    run: str | None
    marker: str | None
    last: tuple[int, int]
    """The last id of its event stream; zeros while it has none."""


def loss(known: tuple[str | None, str] | None, found: Broker, recorded: tuple[int, int]) -> str | None:
    """Why Redis may have lost data since the records were last compared with it; None when nothing says so.

    `known` is the run and marker of that time, `recorded` the position of the event stream on record.
    """
    if known is None:
        return "the records were never compared with it"
    run, marker = known
    if found.marker != marker:
        return "its marker is missing" if found.marker is None else "its marker is another one's"
    if run is not None and found.run is not None and found.run != run:
        return "it was started again"
    if (0, 0) < found.last < recorded:
        return "its event stream ends before what is on record"
    return None


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Put the message back; `due` seconds since 1970, or None for at once."""

    due: float | None


@dataclass(frozen=True, slots=True)
class Lose:
    """End the execution as `lost`."""

    reason: str


def verdict(execution: Unfinished, *, early: bool, is_kept: bool, now: float) -> Rebuild | Lose:
    """What becomes of an unfinished execution that is nowhere in Redis; `early`: its open attempt was acknowledged early."""
    if execution.state == states.RUNNING and early:
        return Lose(EARLY)
    if not is_kept:
        return Lose(NOT_KEPT)
    due = execution.due_at.timestamp() if execution.due_at is not None and execution.state != states.RUNNING else None
    return Rebuild(due if due is not None and due > now else None)


def is_suspect(
    execution: Unfinished,
    now: float,
    oldest: Mapping[tuple[str, int], float | None],
    in_flight: Collection[int],
    workers: Collection[str],
) -> bool:
    """Whether an execution may well be nowhere, judged from little: worth a look that costs more.

    `oldest` says of each queue and priority step when the message that is taken next was accepted (None: the list is empty):
    what was accepted before it is not in that list.
    """
    accepted = (execution.id.int >> 80) / 1000
    if now - accepted < YOUNG_S or clean.short(execution.id) in in_flight:
        return False
    if execution.state == states.RUNNING:
        return execution.worker not in workers
    since = accepted
    if execution.due_at is not None:
        since = max(since, execution.due_at.timestamp())
        if now - since < OVERDUE_S:
            return False
    elif execution.state == states.RETRYING:
        since = now - YOUNG_S  # when its retry was published is not on record
    first = oldest.get((execution.queue, step_of(execution.priority)))
    return first is None or since < first - OVERTAKEN_S
