"""Queue `default`: parse a day of a series from its CSV file and aggregate it into PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from windrow import DatabaseSessionLocal, task
from windrow_tasks import tables

HEADER = "timestamp,value"


class BadSeries(ValueError):
    """A line of the file is no measurement; the sentence says which. Trying again would not help."""


@dataclass(frozen=True)
class Measurement:
    """Mentions counted in the five minutes from `at`."""

    at: datetime
    value: int


@dataclass(frozen=True)
class Day:
    """A day's aggregate."""

    rows: int
    total: int
    mean: float
    most: int


def measurements(path: Path, day: date | None = None) -> Iterator[Measurement]:
    """The measurements of a file, of one day if one is given.

    Raises BadSeries at a line that is no `timestamp,value`, OSError when the file can't be read.
    """
    prefix = day.isoformat() if day else ""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if number == 1:
            if line != HEADER:
                raise BadSeries(f"{path.name}:1: must be the header {HEADER!r}, not {line!r}")
        elif line.startswith(prefix):
            at, _, value = line.partition(",")
            try:
                yield Measurement(datetime.fromisoformat(at).replace(tzinfo=UTC), int(value))
            except ValueError as error:
                raise BadSeries(f"{path.name}:{number}: must be `timestamp,value`, not {line!r}; is it cut off?") from error


def aggregate(found: list[Measurement]) -> Day:
    """A day's aggregate; raises BadSeries when there is nothing to aggregate."""
    if not found:
        raise BadSeries("a day must have at least one measurement, it has none")
    values = [measurement.value for measurement in found]
    return Day(rows=len(values), total=sum(values), mean=sum(values) / len(values), most=max(values))


@task(queue="default", soft_time_limit=20, time_limit=30)
async def aggregate_day(path: str, day: str) -> dict[str, Any]:
    """Aggregate `day` (ISO date) of the series in the CSV file `path`; a day done twice is the same row."""
    of = date.fromisoformat(day)
    found = aggregate(list(measurements(Path(path), of)))
    async with DatabaseSessionLocal() as session:
        await tables.ensure(session)
        await session.execute(
            text(
                "insert into windrow_demo.days values (:series, :day, :rows, :total, :mean, :most) on conflict (series, day) "
                "do update set rows = excluded.rows, total = excluded.total, mean = excluded.mean, most = excluded.most"
            ),
            {"series": Path(path).stem, "day": of, **found.__dict__},
        )
        await session.commit()
    return {"series": Path(path).stem, "day": day, "total": found.total}
