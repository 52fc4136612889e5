"""Which annotations a QueueWorker's pods carry: a low deletion cost where it has drained, what keeps its node where it is busy.

Pure, time passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from windrow.queues import QueueWorker
from windrow_operator.crew import Crew, Member
from windrow_operator.names import DELETION_COST, DRAINED_COST, PROTECTION

LONG_SECONDS = 480.0
"""A queue whose hard limit is longer has its busy pods protected: an autoscaler of nodes grants ten minutes at most."""
IDLE_SECONDS = 60.0
"""A pod stays protected until it was idle for so long, so that short pauses between tasks cost no writes."""


def marks(
    spec: QueueWorker, crew: Crew, withdrawn: Collection[str], idle: Mapping[str, float], now: float
) -> tuple[dict[str, dict[str, str | None]], dict[str, float]]:
    """By pod, the annotations to set or (None) to remove; and since when each protected pod has been idle."""
    long = spec.spec.time_limits.hard > LONG_SECONDS
    wanted: dict[str, dict[str, str | None]] = {}
    still_idle: dict[str, float] = {}
    for member in crew.members:
        name = member.pod.name
        made = _cost(member, withdrawn)
        if member.pod.protected and not member.busy:
            since = still_idle[name] = idle.get(name, now)
            if not long or now - since >= IDLE_SECONDS:
                made.update(dict.fromkeys(PROTECTION))
        elif member.pod.protected and not long:
            made.update(dict.fromkeys(PROTECTION))
        elif long and member.busy and not member.pod.protected:
            made.update(PROTECTION)
        if made:
            wanted[name] = made
    return wanted, still_idle


def _cost(member: Member, withdrawn: Collection[str]) -> dict[str, str | None]:
    if member.worker is None:  # its worker has ended, or has not registered yet: whichever it is, it says so soon
        return {}
    leaves = member.drained and member.worker.id not in withdrawn
    if leaves == member.pod.drained_cost:
        return {}
    return {DELETION_COST: DRAINED_COST if leaves else None}
