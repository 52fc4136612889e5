"""Grafana's dashboards, as code: one module a dashboard, the JSON files made from them.

`python -m deploy.monitoring.dashboards` writes `deploy/monitoring/grafana/*.json` and the chart's copies of them; a test
fails when they are stale. Nothing here runs on a platform, so nothing of `windrow` imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from deploy.monitoring.dashboards import asked, executions, overview, platform, queue, task
from deploy.monitoring.dashboards.asked import Query
from deploy.monitoring.dashboards.interpolation import View
from deploy.monitoring.dashboards.page import Json, written

__all__ = ["Query", "View", "dashboards", "files", "listed", "queries"]

_ALL: Final[tuple[Callable[[], Json], ...]] = (
    overview.dashboard,
    queue.dashboard,
    task.dashboard,
    platform.dashboard,
    executions.dashboard,
)


def dashboards() -> list[Json]:
    """All dashboards, as Grafana reads them."""
    return [make() for make in _ALL]


def files() -> dict[str, str]:
    """The name and text of each dashboard's file."""
    return {f"{one['uid']}.json": written(one) for one in dashboards()}


def listed() -> str:
    """What each dashboard asks, as docs/dashboards.md lists it."""
    made = []
    for one in dashboards():
        made += [f"**{one['title']}.** {one['description']}", ""]
        made += [f"- {panel['title']} {panel['description']}" for panel in one["panels"] if panel["type"] != "row"] + [""]
    return "\n".join(made)


def queries(view: View, *uids: str) -> list[Query]:
    """Every query as a viewer's browser would send it, of all dashboards or those that are named.

    Raises ValueError for a variable without a value.
    """
    return asked.queries([one for one in dashboards() if not uids or one["uid"] in uids], view)
