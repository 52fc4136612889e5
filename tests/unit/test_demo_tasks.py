"""The shipped tasks' own rules, without a server."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from windrow_tasks import DATA
from windrow_tasks.reports import anomalies
from windrow_tasks.series import BadSeries, Measurement, aggregate, measurements


def test_a_shipped_day_is_aggregated() -> None:
    """A whole day of a shipped series has 288 five-minute counts."""
    found = aggregate(list(measurements(DATA / "Twitter_volume_GOOG.csv", date(2015, 4, 1))))
    assert (found.rows, found.total, found.most) == (288, 16903, 465)


def test_a_file_cut_off_in_a_line_says_where(tmp_path: Path) -> None:
    """A truncated file is refused with its name and line; trying again would not help."""
    path = tmp_path / "cut.csv"
    path.write_text("timestamp,value\n2015-04-01 00:00:00,3\n2015-04-01 0")
    with pytest.raises(BadSeries, match=r"cut\.csv:3: must be `timestamp,value`"):
        list(measurements(path, date(2015, 4, 1)))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """The header is part of the format."""
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(BadSeries, match=r"must be the header"):
        list(measurements(path))


def test_a_day_without_measurements_is_refused() -> None:
    """An empty day has no mean."""
    with pytest.raises(BadSeries, match=r"at least one measurement"):
        aggregate([])


def test_an_anomaly_is_far_from_its_days_mean() -> None:
    """One spike in a flat day is found, and nothing in a flat one."""
    day = [Measurement(datetime(2015, 4, 1, tzinfo=UTC), 5) for _ in range(99)]
    assert list(anomalies(day)) == []
    spike = Measurement(datetime(2015, 4, 1, 12, tzinfo=UTC), 500)
    assert [found for found, _ in anomalies([*day, spike])] == [spike]


def test_the_series_carry_their_source_and_licence() -> None:
    """Copied data says where it comes from and under which terms."""
    assert "github.com/numenta/NAB" in (DATA / "README.md").read_text()
    assert "Copyright 2014-2024 Numenta Inc." in (DATA / "LICENSE.txt").read_text()
