"""Every row of the suite: which fault, under which load, and what must hold beyond what holds in each."""

from __future__ import annotations

from collections.abc import Mapping

from tests.chaos import rows_servers, rows_tasks, rows_workers
from tests.chaos.row import Row

_PARTS = (
    rows_workers.deaths,
    rows_workers.halts,
    rows_servers.redis,
    rows_servers.platform,
    rows_tasks.tasks,
    rows_tasks.canvas,
    rows_tasks.time,
)

ROWS: Mapping[str, Row] = {row.name: row for part in _PARTS for row in part()}
