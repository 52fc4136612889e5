"""What follows from a spec: Celery's settings, the grace, and the limits of each task."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windrow.queues import Derived, EffectiveLimits, Limits, capped_sentence, derive, effective_limits, parse_specs

HEAD = "apiVersion: windrow.dev/v1alpha1\nkind: QueueWorker\nmetadata: {name: q}\n"
NOTHING = Limits()


def derived(body: str = "{}") -> Derived:
    (spec,) = parse_specs(f"{HEAD}spec: {body}\n")
    return derive(spec)


def test_the_grace_rests_on_the_hard_limit() -> None:
    """The termination grace is the hard limit + 40 s."""
    assert derived("{timeLimits: {soft: 1h, hard: 1h10m}}").termination_grace_s == 4240


def test_celery_settings() -> None:
    """Slots, limits, recycling and acknowledgement reach Celery under its own names and in its own units."""
    settings = derived(
        "{concurrency: 4, acksLate: false, timeLimits: {soft: 5s}, recycle: {tasks: 9, memory: 512Mi}}"
    ).celery_settings
    assert settings["worker_concurrency"] == 4
    assert settings["worker_prefetch_multiplier"] == 1
    assert settings["task_acks_late"] is False
    assert "task_soft_time_limit" not in settings  # it would stand in for a task's own missing soft limit
    assert settings["worker_max_tasks_per_child"] == 9
    assert settings["worker_max_memory_per_child"] == 512 * 1024  # KiB
    assert settings["worker_send_task_events"] is False


def test_a_rate_is_the_whole_queues() -> None:
    """A rate limit is tasks a second; only fast queues start several at once."""
    slow, fast = derived("{rateLimit: 100/m}"), derived("{rateLimit: 500/s}")
    assert (slow.rate_per_s, slow.rate_burst) == (pytest.approx(100 / 60), 1)
    assert (fast.rate_per_s, fast.rate_burst) == (500, 50)
    assert derived().rate_per_s is None


@pytest.mark.parametrize(
    ("message", "task", "expected"),
    [
        (NOTHING, NOTHING, EffectiveLimits(3600, 4200, capped=False)),
        (NOTHING, Limits(soft=60), EffectiveLimits(60, 4200, capped=False)),
        (NOTHING, Limits(soft=60, hard=90), EffectiveLimits(60, 90, capped=False)),
        (Limits(soft=30), Limits(soft=60, hard=90), EffectiveLimits(30, 90, capped=False)),
        (Limits(hard=50), Limits(soft=20, hard=90), EffectiveLimits(20, 50, capped=False)),
        # The queue's own soft limit could never fire before this task's hard one.
        (NOTHING, Limits(hard=90), EffectiveLimits(None, 90, capped=False)),
        (NOTHING, Limits(hard=7200), EffectiveLimits(4190, 4200, capped=True)),
        (NOTHING, Limits(soft=7200), EffectiveLimits(4190, 4200, capped=True)),
        (NOTHING, Limits(soft=4200), EffectiveLimits(4190, 4200, capped=True)),
        (NOTHING, Limits(soft=60, hard=7200), EffectiveLimits(60, 4200, capped=True)),
        (Limits(soft=0, hard=0), NOTHING, EffectiveLimits(3600, 4200, capped=False)),  # Celery's 0 is none
    ],
)
def test_message_then_task_then_queue(message: Limits, task: Limits, expected: EffectiveLimits) -> None:
    """Each limit comes from the message, else the task, else the queue, capped by the queue's hard limit."""
    assert effective_limits(message, task, derived("{timeLimits: {soft: 1h, hard: 1h10m}}")) == expected


def test_a_short_hard_limit_leaves_half_to_clean_up() -> None:
    """Where hard − 10 s is nothing, a capped task's soft limit is half-way."""
    assert effective_limits(NOTHING, Limits(soft=60), derived("{timeLimits: {hard: 8s}}")) == EffectiveLimits(4, 8, capped=True)


limits = st.one_of(st.none(), st.floats(min_value=0.001, max_value=1e6))


@settings(deadline=None)
@given(limits, limits, limits, limits)
def test_no_limit_goes_beyond_the_queues(a: float | None, b: float | None, c: float | None, d: float | None) -> None:
    """Whatever is asked for, hard ≤ the queue's hard limit, and soft is before hard."""
    queue = derived("{timeLimits: {soft: 1m, hard: 2m}}")
    result = effective_limits(Limits(a, b), Limits(c, d), queue)
    assert 0 < result.hard <= queue.hard_s
    assert result.soft is None or 0 < result.soft < result.hard


def test_capped_tasks_are_named_in_one_sentence() -> None:
    """All capped tasks stand in one warning, in order; none, no warning."""
    queue = derived("{timeLimits: {hard: 1h10m}}")
    assert capped_sentence(queue, []) is None
    assert capped_sentence(queue, ["b.two", "a.one"]) == (
        "Time limits must stay within the hard limit of queue q (1h10m): capped for a.one, b.two; "
        "raise spec.timeLimits.hard to let them run longer"
    )
