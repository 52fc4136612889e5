"""Grafana's dashboards, as code: one module a dashboard, the JSON files made from them.

`python -m deploy.monitoring.dashboards` writes `deploy/monitoring/grafana/*.json` and the chart's copies of them; a test
fails when they are stale. Nothing here runs on a platform, so nothing of `windrow` imports it.
"""

from __future__ import annotations

from deploy.monitoring.dashboards.executions import executions
from deploy.monitoring.dashboards.interpolation import View
from deploy.monitoring.dashboards.overview import overview
from deploy.monitoring.dashboards.page import Json, written
from deploy.monitoring.dashboards.platform import platform
from deploy.monitoring.dashboards.queries import Query
from deploy.monitoring.dashboards.queries import queries as _queries
from deploy.monitoring.dashboards.queue import queue
from deploy.monitoring.dashboards.task import task

__all__ = ["Query", "View", "dashboards", "files", "queries"]


def dashboards() -> list[Json]:
    """All dashboards, as Grafana reads them."""
    return [overview(), queue(), task(), platform(), executions()]


def files() -> dict[str, str]:
    """The name and text of each dashboard's file."""
    return {f"{one['uid']}.json": written(one) for one in dashboards()}


def queries(view: View) -> list[Query]:
    """Every query of every dashboard as a viewer's browser would send it; raises ValueError for a variable without a value."""
    return _queries(dashboards(), view)
