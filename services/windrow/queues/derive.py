"""What follows from a spec and is never asked for: Celery's settings, the termination grace, and each task's limits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from windrow.queues.model import HARD_AFTER_SOFT, QueueWorker
from windrow.queues.quantities import format_duration, parse_rate

GRACE_AFTER_HARD = 40.0
"""Seconds a stopping worker has beyond its longest task: to hand back, to report, and to be scheduled late."""
RATE_BURST_S = 0.1
"""Seconds' worth of a rate limit that may start at once: fast queues are taken from in batches."""


@dataclass(frozen=True)
class Derived:
    """A worker's settings, as they follow from its spec. Times in seconds."""

    queue: str
    app: str
    pool: str
    concurrency: int
    acks_late: bool
    soft_s: float | None
    hard_s: float
    termination_grace_s: float
    rate_per_s: float | None
    """Task starts a second for the whole queue; None without a rate limit."""
    rate_burst: int
    """Task starts that the rate limit lets through at once."""
    recycle_tasks: int | None
    """After how many tasks a process is replaced."""
    recycle_memory: int | None
    """From how many bytes on a process is replaced."""
    start_within_s: float | None
    """After how long a wait an attempt has started late; None without an objective."""
    celery_settings: dict[str, object]
    """What the worker sets on the app's configuration, whatever the app says itself."""


def derive(spec: QueueWorker) -> Derived:
    """All that follows from one spec."""
    given = spec.spec
    limits, recycle = given.time_limits, given.recycle
    rate = parse_rate(given.rate_limit) if given.rate_limit is not None else None
    return Derived(
        queue=given.queue,
        app=given.app,
        pool=given.pool,
        concurrency=given.concurrency,
        acks_late=given.acks_late,
        soft_s=limits.soft,
        hard_s=limits.hard,
        termination_grace_s=limits.hard + GRACE_AFTER_HARD,
        rate_per_s=rate,
        rate_burst=max(1, math.ceil(rate * RATE_BURST_S)) if rate is not None else 1,
        recycle_tasks=recycle.tasks,
        recycle_memory=recycle.memory,
        start_within_s=given.objectives.start.within if given.objectives.start is not None else None,
        celery_settings={
            "worker_concurrency": given.concurrency,
            # How much is taken ahead is the transport's decision, from measured run times.
            "worker_prefetch_multiplier": 1,
            "worker_disable_prefetch": False,
            # What acknowledges and what repeats belong together: a failure or a time-out is final and is acknowledged; a dead
            # child or worker is a recovery, which Windrow counts itself (Celery's own way repeats a killing task for ever).
            "task_acks_late": given.acks_late,
            "task_acks_on_failure_or_timeout": True,
            "task_acks_on_failure": True,
            "task_acks_on_timeout": True,
            "task_reject_on_worker_lost": False,
            # A lost connection doesn't end running tasks: the lease decides that.
            "worker_cancel_long_running_tasks_on_connection_loss": False,
            "worker_max_tasks_per_child": recycle.tasks,
            "worker_max_memory_per_child": None if recycle.memory is None else max(1, recycle.memory // 1024),  # KiB
            # Records and metrics come from Windrow's event stream; Celery's events would be sent for nobody.
            "worker_send_task_events": False,
            "task_send_sent_event": False,
            "broker_connection_retry_on_startup": True,
            "broker_connection_max_retries": None,
        },
    )


@dataclass(frozen=True)
class Limits:
    """Time limits that a message or a task asks for, in seconds; None (or Celery's 0) where it asks for none."""

    soft: float | None = None
    hard: float | None = None


@dataclass(frozen=True)
class EffectiveLimits:
    """The limits one attempt runs under, in seconds, and whether the queue's hard limit cut what was asked for."""

    soft: float | None
    hard: float
    capped: bool


def effective_limits(message: Limits, task: Limits, queue: Derived) -> EffectiveLimits:
    """Each limit from the message, else from the task, else from the queue; never beyond the queue's hard limit.

    The termination grace rests on that cap. What it cuts gets a soft limit 10 s before the hard one, so that the task still can
    clean up (half-way, when the hard limit is under 20 s). A soft limit that could never fire is left away, as Celery does.
    """
    wanted_soft = message.soft or task.soft
    wanted_hard = message.hard or task.hard
    hard = min(wanted_hard or queue.hard_s, queue.hard_s)
    soft = wanted_soft or queue.soft_s
    capped = (wanted_hard or 0) > queue.hard_s or (wanted_soft or 0) >= queue.hard_s
    if capped:
        latest = max(hard - HARD_AFTER_SOFT, hard / 2)
        return EffectiveLimits(min(wanted_soft or latest, latest), hard, True)
    return EffectiveLimits(soft if soft is not None and soft < hard else None, hard, False)


def capped_sentence(queue: Derived, tasks: Iterable[str]) -> str | None:
    """The one warning that names every task whose own limits the queue's hard limit cuts; None when there is none."""
    names = sorted(tasks)
    if not names:
        return None
    return (
        f"Time limits must stay within the hard limit of queue {queue.queue} ({format_duration(queue.hard_s)}): "
        f"capped for {', '.join(names)}; raise spec.timeLimits.hard to let them run longer"
    )
