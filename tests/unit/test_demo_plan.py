"""What the demo replays, and on what: pure."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from windrow.local.demo.arrivals import SERIES, Arrival, arrivals
from windrow.local.demo.inputs import LATE_EVERY, TASKS, Place, call, prepare, put_late
from windrow.local.demo.run import SPECS, Replay
from windrow.queues import load_specs
from windrow_tasks.series import Measurement

PLACE = Place(Path("/state/demo"), "http://127.0.0.1:1")
START = datetime(2015, 4, 1, tzinfo=UTC)


def series(*values: int) -> list[Measurement]:
    return [Measurement(START + timedelta(minutes=5 * index), value) for index, value in enumerate(values)]


def test_a_minute_brings_three_thousand_tasks_over_all_four_queues() -> None:
    """The default minute accepts at least 3,000 tasks, and every queue has its share."""
    counts = Counter(arrival.queue for arrival in Replay.of(60).plan)
    assert counts.total() >= 3000
    assert set(counts) == set(SERIES)
    assert min(counts.values()) >= 50


def test_each_queue_has_a_burst() -> None:
    """In some second of the minute each queue gets at least twice what a steady stream would bring."""
    plan = Replay.of(60).plan
    for queue in SERIES:
        seconds = Counter(int(arrival.at) for arrival in plan if arrival.queue == queue)
        assert max(seconds.values()) >= 2 * seconds.total() / 60, queue


def test_counts_of_a_step_stand_evenly_in_it() -> None:
    """Two mentions in a five-minute step that takes one second come a quarter and three quarters into it."""
    found = arrivals({"q": series(2, 0, 1)}, seconds=3, speedup=300, start=START)
    assert found == [Arrival(0.25, "q", 0), Arrival(0.75, "q", 1), Arrival(2.5, "q", 2)]


def test_speedup_squeezes_the_same_arrivals() -> None:
    """At twice the speed-up everything comes in half the time."""
    slow = arrivals({"q": series(3, 4)}, seconds=2, speedup=300, start=START)
    fast = arrivals({"q": series(3, 4)}, seconds=1, speedup=600, start=START)
    assert [arrival.at / 2 for arrival in slow] == pytest.approx([arrival.at for arrival in fast])


def test_more_than_the_series_hold_is_refused() -> None:
    """A replay that would run out of arrivals says so before anything starts."""
    with pytest.raises(ValueError, match=r"must lie inside the series of q, which has 2 s left"):
        arrivals({"q": series(1, 1)}, seconds=3, speedup=300, start=START)


def test_the_same_arrival_gets_the_same_input() -> None:
    """Inputs follow from an arrival's number: no dice are thrown."""
    plan = Replay.of(30).plan
    assert [call(arrival, PLACE) for arrival in plan] == [call(arrival, PLACE) for arrival in plan]
    assert {call(arrival, PLACE).task for arrival in plan} == set(TASKS)


def test_a_minute_has_every_kind_of_trouble() -> None:
    """Cut-off files, busy and wrong addresses, late, absent and too large files all occur, each in the minority."""
    calls = [call(arrival, PLACE) for arrival in Replay.of(60).plan]
    marks = ("-cut.csv", "/busy/", "/gone/", "late-", "never-", "large.csv")
    for mark in marks:
        found = sum(mark in str(made.args) for made in calls)
        assert 1 <= found <= len(calls) / 50, mark


def test_files_are_there_when_their_tasks_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file named by a call exists, but for those that come late or never; a late one is there after `put_late`."""
    monkeypatch.setattr("windrow.local.demo.inputs.LARGE_BYTES", 1)
    prepare(tmp_path / "demo")
    place = Place(tmp_path / "demo", "http://x")
    for arrival in Replay.of(60).plan:
        made = call(arrival, place)
        file = next((Path(str(arg)) for arg in made.args if str(arg).endswith(".csv")), None)
        assert file is None or file.exists() or made.late or file.name.startswith("never-"), file
    name = call(Arrival(0, "file_queue", LATE_EVERY - 1), place).late
    assert name is not None
    put_late(place, name)
    assert (place.inbox / name).exists()


def test_the_demos_queues_are_the_ones_it_replays() -> None:
    """The demo's own windrow.yaml serves each replayed queue, from zero, with room for two workers, and shrinks in 10 s."""
    specs = {spec.spec.queue: spec.spec.scaling for spec in load_specs(SPECS)}
    assert set(specs) == set(SERIES)
    for scaling in specs.values():
        assert (scaling.min_replicas, scaling.scale_down_window) == (0, 10.0)
        assert (scaling.max_replicas or 0) >= 2
