"""What attempts used, by queue, for `windrow recommend`. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Select, func, select

from windrow.records.repository import Connection, lowest_id
from windrow.records.tables import Attempt
from windrow.scaling.recommend import Seen

SAMPLE: Final = 2_000
"""The newest attempts of a queue that are looked at for which ran at a time."""
SLACK: Final = 0.002
"""Seconds that a start may lie before the end of the attempt before it: clocks are read at different moments."""

_c = Attempt.__table__.c
_BY_ITSELF: Final = ("success", "failed", "retried")


class Span(NamedTuple):
    """An attempt of a process of a worker, from when to when (seconds)."""

    worker: str
    pid: int
    start: float
    end: float


async def usage(connection: Connection, since: datetime, queues: Sequence[str] = ()) -> list[Seen]:
    """What the attempts of each queue, or of `queues`, used whose executions were accepted since then; by queue.

    Reads every attempt of that time. A queue without any that ended is left out.
    """
    found = []
    for row in (await connection.execute(_figures(since, queues))).mappings():
        spans = [
            Span(one.worker or "", one.pid or 0, one.started_at.timestamp(), one.started_at.timestamp() + one.run_s)
            for one in await connection.execute(_newest(since, row["queue"]))
        ]
        made: dict[str, Any] = {name: _whole(value) if name.startswith("peak") else value for name, value in row.items()}
        run, cpu, known = made.pop("run"), made.pop("cpu"), made.pop("known")
        found.append(
            Seen(
                **made,
                busy=cpu / run if run and known * 2 >= made["measured"] else None,
                at_once=most_at_once((span.worker, span.start, span.end) for span in spans),
                shared=most_at_once(((span.worker, span.pid), span.start, span.end) for span in spans) > 1,
            )
        )
    return found


def most_at_once(spans: Iterable[tuple[Any, float, float]]) -> int:
    """The most spans of one key that overlap by more than `SLACK`; at least 1. Pure."""
    marks: dict[Any, list[tuple[float, int]]] = defaultdict(list)
    for key, start, end in spans:
        if end - SLACK > start:
            marks[key] += [(start, 1), (end - SLACK, -1)]
    most = 1
    for points in marks.values():
        running = 0
        for _, step in sorted(points):
            running += step
            most = max(most, running)
    return most


def _figures(since: datetime, queues: Sequence[str]) -> Select[Any]:
    run: ColumnElement[bool] = _c.outcome.in_(_BY_ITSELF)

    def of_run(quantile: float, name: str) -> Any:
        return func.percentile_cont(quantile).within_group(_c.run_s).filter(run).label(name)

    def of_peak(quantile: float, name: str) -> Any:
        return func.percentile_cont(quantile).within_group(_c.peak_bytes).label(name)

    measured = _c.cpu_s.is_not(None)
    statement = (
        select(
            _c.queue,
            func.count().label("attempts"),
            func.count().filter(_c.outcome == "timed_out").label("timed_out"),
            func.count().filter(_c.outcome == "killed").label("killed"),
            of_run(0.5, "run_p50"),
            of_run(0.95, "run_p95"),
            of_run(0.99, "run_p99"),
            func.max(_c.run_s).filter(run).label("run_max"),
            func.count(_c.peak_bytes).label("measured"),
            func.min(_c.peak_bytes).label("peak_least"),
            of_peak(0.5, "peak_p50"),
            of_peak(0.99, "peak_p99"),
            func.max(_c.peak_bytes).label("peak_max"),
            func.sum(_c.cpu_s).label("cpu"),
            func.sum(_c.run_s).filter(measured).label("run"),
            func.count(_c.cpu_s).label("known"),
        )
        .where(_c.execution_id >= lowest_id(since), _c.outcome.is_not(None))
        .group_by(_c.queue)
        .order_by(_c.queue)
    )
    return statement.where(_c.queue.in_(queues)) if queues else statement


def _newest(since: datetime, queue: str) -> Select[Any]:
    return (
        select(_c.worker, _c.pid, _c.started_at, _c.run_s)
        .where(_c.execution_id >= lowest_id(since), _c.queue == queue, _c.run_s.is_not(None), _c.started_at.is_not(None))
        .order_by(_c.execution_id.desc())
        .limit(SAMPLE)
    )


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
