"""Which workers are asked to drain, and which are called back."""

from __future__ import annotations

from tests.unit.scaling_cases import workers
from windrow.scaling import Observation, choose_victims, choose_withdrawals


def test_idle_workers_go_first() -> None:
    """Idle workers go before busy ones, and among equals the last by name."""
    seen = Observation(0, workers=(*workers(2, 0), *workers(2, 1, first=2), *workers(1, 0, first=4)))
    assert choose_victims(seen, 3) == ("id-4", "id-1")
    assert choose_victims(seen, 2) == ("id-4", "id-1", "id-0")
    assert choose_victims(seen, 1) == ("id-4", "id-1", "id-0", "id-3")
    assert choose_victims(seen, 5) == ()


def test_what_was_taken_ahead_counts_as_load() -> None:
    """Of two workers without a running task, the one that has taken nothing goes."""
    first, second = workers(2)
    loaded = type(second)(second.id, second.name, 2, 0, 3, "ready")
    assert choose_victims(Observation(0, workers=(first, loaded)), 1) == ("id-0",)


def test_starting_workers_are_no_victims_yet() -> None:
    """A worker that is starting can't answer; it counts, and goes when it serves."""
    seen = Observation(0, workers=(*workers(1, 2), *workers(3, state="starting", first=1)))
    assert choose_victims(seen, 1) == ("id-0",)
    assert choose_victims(Observation(0, workers=workers(3, state="starting")), 0) == ()


def test_who_was_asked_is_not_asked_again() -> None:
    """Workers on their way out don't count as serving."""
    seen = Observation(0, workers=(*workers(3), *workers(2, 1, state="asked", first=3), *workers(1, state="drained", first=5)))
    assert choose_victims(seen, 2) == ("id-2",)


def test_called_back_before_anyone_is_started() -> None:
    """Workers asked to drain are called back, those with most free slots first; a drained one is not."""
    seen = Observation(
        0,
        workers=(
            *workers(1),
            *workers(1, 2, state="asked", first=1),
            *workers(2, 1, state="asked", first=2),
            *workers(1, state="drained", first=4),
        ),
    )
    assert choose_withdrawals(seen, 1) == ()
    assert choose_withdrawals(seen, 2) == ("id-2",)
    assert choose_withdrawals(seen, 9) == ("id-2", "id-3", "id-1")
