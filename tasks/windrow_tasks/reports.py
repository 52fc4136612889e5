"""Queue `long_running`: scans over a whole series, and reports over Windrow's own records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from sqlalchemy import text

from windrow import DatabaseSessionLocal, SchedulerRepository, task
from windrow_tasks import tables
from windrow_tasks.series import Measurement, measurements

UNUSUAL = 4.0
"""Standard deviations from its day's mean past which a measurement is an anomaly."""


def anomalies(day: list[Measurement]) -> Iterator[tuple[Measurement, float]]:
    """The unusual measurements of a day, each with its distance from the mean in standard deviations."""
    values = [measurement.value for measurement in day]
    mean, deviation = fmean(values), pstdev(values)
    for measurement in day:
        score = (measurement.value - mean) / deviation if deviation else 0.0
        if score >= UNUSUAL:
            yield measurement, score


@task(queue="long_running", bind=True, soft_time_limit=60, time_limit=90)
async def scan(self: Any, path: str, pace: float = 0.02) -> dict[str, Any]:
    """Look for anomalies in each day of the CSV file `path` and put them into PostgreSQL; tells how far it is.

    `pace` is the rest after each day in seconds: a scan is in no hurry and leaves the machine to others.
    """
    name = Path(path).stem
    days = [(day, list(of)) for day, of in groupby(measurements(Path(path)), lambda measurement: measurement.at.date())]
    found = 0
    async with DatabaseSessionLocal() as session:
        await tables.ensure(session)
        for number, (day, of) in enumerate(days, start=1):
            rows = [_row(name, day, measurement, score) for measurement, score in anomalies(of)]
            if rows:
                await session.execute(
                    text(
                        "insert into windrow_demo.anomalies values (:series, :day, :at, :value, :score) on conflict do nothing"
                    ),
                    rows,
                )
                await session.commit()
            found += len(rows)
            self.update_state(state="PROGRESS", meta={"current": number, "total": len(days)})
            await asyncio.sleep(pace)
    return {"series": name, "days": len(days), "anomalies": found}


@task(queue="long_running", soft_time_limit=30, time_limit=45)
async def report(execution_id: str | None = None, minutes: int = 5) -> dict[str, int]:
    """Count the executions of the last `minutes` by state, from Windrow's records, and report it as this execution's result."""
    repository, started = SchedulerRepository(), datetime.now(UTC)
    async with DatabaseSessionLocal() as session:
        rows = await session.execute(
            text(
                "select s.code, count(*) from windrow.executions e join windrow.execution_statuses s on s.id = e.status_id "
                "where e.accepted_at > now() - make_interval(mins => :minutes) group by s.code"
            ),
            {"minutes": minutes},
        )
        counts = {str(code): int(count) for code, count in rows}
        status = await repository.get_execution_status_by_code(session, "success")
        if execution_id and status:
            completed = datetime.now(UTC)
            fields = {
                "completed_at": completed,
                "duration_ms": int((completed - started).total_seconds() * 1000),
                "status_id": status.id,
                "result_summary": ", ".join(f"{code}: {count}" for code, count in sorted(counts.items())),
            }
            await repository.update_execution(session, execution_id, fields)
        await session.commit()
    return counts


def _row(series: str, day: date, measurement: Measurement, score: float) -> dict[str, Any]:
    return {"series": series, "day": day, "at": measurement.at, "value": measurement.value, "score": round(score, 2)}
