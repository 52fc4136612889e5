"""How fast tasks arrive, from what a queue holds and what was finished."""

from __future__ import annotations

import pytest

from windrow.scaling import Flow, measured


def test_a_rate_needs_two_readings() -> None:
    """The first reading says nothing of a rate; the second compares."""
    first = measured(None, 100.0, 5, 1000)
    assert first.rate is None
    assert measured(first, 102.0, 9, 1006).rate == 5.0  # 4 more held and 6 finished in 2 s


def test_the_rate_follows() -> None:
    """An old rate counts half after twenty seconds."""
    flow = Flow(0.0, 0, 0, mean=10.0)
    for second in range(1, 21):
        flow = measured(flow, float(second), 0, 0)
    assert flow.rate == pytest.approx(5.0)


def test_a_worker_that_left_with_its_count() -> None:
    """Where the count of finished attempts fell, the interval says nothing and the rate stays."""
    flow = Flow(0.0, 10, 500, mean=7.0)
    assert measured(flow, 1.0, 10, 200) == Flow(1.0, 10, 200, mean=7.0)


def test_the_same_moment_again() -> None:
    """Two readings of one moment have no rate between them."""
    assert measured(Flow(1.0, 0, 0, mean=3.0), 1.0, 50, 0).rate == 3.0


def test_a_purge_is_no_negative_arrival() -> None:
    """When a queue was emptied by hand, the rate falls towards nought and never below."""
    after = measured(Flow(0.0, 1000, 0, mean=1.0), 1.0, 0, 0)
    assert after.rate == 0


def test_reports_that_come_late_cancel_out() -> None:
    """Workers say every other second what they finished: the sum is right, whatever single intervals say."""
    flow = measured(None, 0.0, 100, 0)
    for second in range(1, 121):  # ten a second arrive and are finished; what is finished is reported at even seconds
        flow = measured(flow, float(second), 100, 20 * (second // 2))
    assert flow.rate == pytest.approx(10, abs=1)


def test_moved_says_whether_anything_was_finished() -> None:
    """What came and went between two readings is seen by what was finished."""
    first = measured(None, 0.0, 0, 5)
    assert not first.moved
    assert measured(first, 1.0, 0, 6).moved
    assert not measured(first, 1.0, 9, 5).moved
