"""What is recommended for a queue: each rule over the figures that it rests on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from windrow.queues.quantities import parse_duration, parse_memory
from windrow.scaling.recommend import FEWEST, MIB, Budget, Recommendation, Seen, recommend

SEEN = Seen(
    queue="orders", attempts=10_000, timed_out=0, killed=0, run_p50=1.0, run_p95=3.0, run_p99=10.0, run_max=20.0,
    measured=10_000, peak_least=50 * MIB, peak_p50=80 * MIB, peak_p99=100 * MIB, peak_max=400 * MIB, busy=0.5, at_once=2,
    shared=False,
)  # fmt: skip
GIB = 1024 * MIB


def advised(seen: Seen = SEEN, budget: Budget | None = None) -> dict[str, int | str]:
    return {advice.key: advice.value for advice in recommend(seen, budget or Budget()).advice}


def reason(found: Recommendation, key: str) -> str:
    return next(advice.reason for advice in found.advice if advice.key == key)


def test_all_that_follows_from_one_queues_figures() -> None:
    """Half-busy attempts: two slots a core. Memory: 66 MiB for the main process, 100 a slot, one of them at its largest."""
    assert advised() == {
        "concurrency": 2,
        "template.resources.requests.memory": "288Mi",  # 66 + 2 × 100, in steps of 32
        "template.resources.limits.memory": "608Mi",  # 66 + 400 + 128
        "recycle.memory": "128Mi",  # 1.25 × 100
        "timeLimits.soft": "30s",  # 3 × 10, 1.5 × 20
        "timeLimits.hard": "40s",
    }


@pytest.mark.parametrize(
    ("busy", "cpus", "shared", "slots"),
    [
        (1.0, 1.0, False, 1),
        (1.0, 4.0, False, 4),
        (0.95, 1.0, False, 1),
        (0.52, 1.0, False, 2),
        (0.5, 1.0, False, 2),
        (0.5, 0.5, False, 1),
        (0.1, 1.0, False, 10),
        (0.0, 1.0, False, 16),
        (1.0, 0.2, False, 1),
        (0.1, 4.0, True, 10),
        (0.002, 1.0, True, 100),
        (0.001, 1.0, True, 100),
    ],
)
def test_slots_are_what_keeps_the_cores_busy(busy: float, cpus: float, shared: bool, slots: int) -> None:
    """Cores over the share of time that attempts compute, within bounds; slots of one process share one core."""
    assert advised(replace(SEEN, busy=busy, shared=shared), Budget(cpus))["concurrency"] == slots


def test_without_cpu_time_the_slots_stay_as_they_were_seen() -> None:
    """Coroutines have no CPU time of their own: as many as ran at once, and the reason says so."""
    found = recommend(replace(SEEN, busy=None, at_once=7, shared=True), Budget())
    assert found.advice[0].value == 7
    assert "CPU time is not on record" in found.advice[0].reason


def test_attempts_that_wait_in_processes_are_told_of_the_other_pools() -> None:
    """Under a fifth of computing, in processes of their own: a pool whose slots share one costs less memory."""
    assert "asyncio or threads" in reason(recommend(replace(SEEN, busy=0.1), Budget()), "concurrency")
    assert "asyncio" not in reason(recommend(replace(SEEN, busy=0.3), Budget()), "concurrency")
    assert "asyncio" not in reason(recommend(replace(SEEN, busy=0.1, shared=True), Budget()), "concurrency")


@pytest.mark.parametrize(("memory", "slots"), [(2 * GIB, 10), (1 * GIB, 5), (512 * MIB, 1)])
def test_no_more_slots_than_fit_in_the_memory(memory: int, slots: int) -> None:
    """With --memory: as many slots as the limit has room for, and the limit stays within it."""
    found = advised(replace(SEEN, busy=0.1), Budget(1.0, memory))
    assert found["concurrency"] == slots
    assert parse_memory(str(found["template.resources.limits.memory"])) <= memory


def test_not_even_one_slot_fits() -> None:
    """Too little memory for one: a sentence instead of advice."""
    found = recommend(SEEN, Budget(1.0, 128 * MIB))
    assert found.advice == ()
    assert found.sentence == "a worker must have 480Mi for one slot (peak 400 MiB), and 128Mi are given"


def test_a_shared_process_is_counted_once() -> None:
    """Pools `asyncio` and `threads`: the peak is that of all slots together."""
    found = advised(replace(SEEN, shared=True))
    assert found["template.resources.requests.memory"] == "192Mi"  # 66 + 100
    assert found["template.resources.limits.memory"] == "480Mi"  # 66 + 400


@pytest.mark.parametrize("attempts", [0, 1, FEWEST - 1])
def test_too_few_attempts_are_said_to_be_too_few(attempts: int) -> None:
    """Nothing is guessed."""
    found = recommend(replace(SEEN, attempts=attempts), Budget())
    assert found.advice == ()
    assert found.sentence == f"at least 50 attempts must be on record to recommend from, and {attempts} are"


def test_what_is_not_on_record_is_not_recommended() -> None:
    """Without peaks no memory, without run times no limits."""
    unmeasured = replace(SEEN, measured=0, peak_least=None, peak_p50=None, peak_p99=None, peak_max=None)
    assert set(advised(unmeasured)) == {"concurrency", "timeLimits.soft", "timeLimits.hard"}
    untimed = replace(SEEN, run_p50=None, run_p95=None, run_p99=None, run_max=None)
    assert set(advised(untimed)) == {
        "concurrency", "template.resources.requests.memory", "template.resources.limits.memory", "recycle.memory",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("p99", "longest", "soft", "hard"),
    [
        (0.01, 0.02, "30s", "40s"),
        (11.0, 12.0, "45s", "55s"),
        (5.0, 40.0, "1m", "1m10s"),
        (100.0, 900.0, "30m", "33m"),
        (3600.0, 3600.0, "3h", "3h18m"),
        (80_000.0, 90_000.0, "67h", "73h42m"),
        (500_000.0, 600_000.0, "144h", "158h24m"),
    ],
)
def test_limits_leave_room_beyond_the_longest_run(p99: float, longest: float, soft: str, hard: str) -> None:
    """Three times the 99th percentile, half as much again as the longest, in round numbers; the hard limit later."""
    found = advised(replace(SEEN, run_p99=p99, run_max=longest))
    assert (found["timeLimits.soft"], found["timeLimits.hard"]) == (soft, hard)
    assert parse_duration(soft) + 10 <= parse_duration(hard)


def test_attempts_that_ended_at_a_limit_are_told() -> None:
    """How long they would have run is not known, so the reason says how many there were."""
    assert "12 ended at a limit" in reason(recommend(replace(SEEN, timed_out=12), Budget()), "timeLimits.soft")
