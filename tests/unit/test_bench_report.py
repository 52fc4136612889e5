"""The benchmark's arithmetic and verdicts: pure."""

from __future__ import annotations

import pytest

from benchmarks.measure import Reading, Turn, between, summarise
from benchmarks.report import Check, Goal, Row, table, throughput_row


def turn(tasks_per_s: float, cpu: float = 1.0, trips: float = 0.5) -> Turn:
    return Turn(tasks_per_s, cpu, trips, cpu)


def test_a_turn_leaves_out_the_benchs_own_read() -> None:
    """Between two readings 101 reads were seen, one of them the bench's: 100 tasks at one round trip each."""
    first, last = Reading(10.0, 1.0, 2.0, 500), Reading(12.0, 1.5, 3.0, 601)
    found = between(first, last, Reading(13.0, 1.6, 3.5, 700), tasks=100)
    assert found == Turn(tasks_per_s=50.0, cpu_per_1000=5.0, round_trips=1.0, platform_cpu_per_1000=15.0)


def test_summaries_are_medians_with_their_spread() -> None:
    """One slow turn moves the spread, not the figure."""
    found = summarise([100.0, 10.0, 101.0])
    assert (found.median, found.least, found.most, found.turns) == (100.0, 10.0, 101.0, 3)
    with pytest.raises(ValueError, match="at least one turn"):
        summarise([])


def test_a_row_that_misses_prints_miss() -> None:
    """A ratio below its target is said in the table, and the row is not met."""
    row = throughput_row("db_prefork2", {"bare": [turn(100)], "windrow": [turn(250)]}, Goal(3.0))
    assert not row.met
    assert "MISS" in table([row])


def test_a_row_may_also_have_to_spare_cpu_and_round_trips() -> None:
    """More tasks a second do not make up for more CPU or more round trips a task than the row may have."""
    turns = {"bare": [turn(100, cpu=1.0)], "windrow": [turn(200, cpu=0.6, trips=0.7)]}
    row = throughput_row("noop_prefork2", turns, Goal(1.0, cpu=0.5, trips=0.5))
    assert [check.met for check in row.checks] == [True, False, False]


def test_each_check_of_a_row_has_its_own_stretch() -> None:
    """What would be better still is in the file in the order of the checks, so that a page can set each beside its own."""
    turns = {"bare": [turn(100)], "windrow": [turn(200)]}
    row = throughput_row("noop_prefork2", turns, Goal(2.0, stretch=(4.0, 0.3, 0.2), cpu=0.5, trips=0.5)).as_json()
    found = dict(zip([check["what"] for check in row["checks"]], row["stretch"], strict=True))
    assert found == {"× bare": 4.0, "× bare CPU": 0.3, "round trips/task": 0.2}


def test_a_met_row_prints_no_miss() -> None:
    """At most is met at the target itself."""
    row = Row("start_s", "s", summarise([8.0]), (Check("s", 8.0, 8.0, at_least=False),))
    assert row.met
    assert "MISS" not in table([row])
    assert row.as_json()["windrow"]["median"] == 8.0
