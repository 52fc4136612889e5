"""A whole dashboard: its place among the others, what the viewer chooses, its rows of panels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard, DashboardLink, Row
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from deploy.monitoring.dashboards.variables import PROMETHEUS

TAG: Final = "windrow"
"""What all dashboards of Windrow carry, and their menu of each other shows."""

Json = dict[str, Any]
Panels = list[Builder[models.Panel]]


def page(
    uid: str, title: str, about: str, variables: Sequence[Builder[models.VariableModel]],
    rows: Mapping[str, Panels], *, alerts: str = "", time: str = "now-3h", refresh: str = "30s",
) -> Json:  # fmt: skip
    """The dashboard as Grafana reads it; `alerts` are the matchers of the alerts that its charts mark."""
    made = (
        Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([TAG])
        .editable()
        .refresh(refresh)
        .time(time, "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .variables(list(variables))
        .link(
            DashboardLink("Windrow")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    if alerts:
        expr = f'max by (alertname, severity, queue) (ALERTS{{alertname=~"Windrow.+", alertstate="firing", {alerts}}})'
        made = made.annotation(AnnotationQuery().name("Alerts").datasource(PROMETHEUS).icon_color("red").expr(expr))
    for heading, panels in rows.items():
        made = made.with_row(Row(heading))
        for panel in panels:
            made = made.with_panel(panel)
    built: Json = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    for number, panel in enumerate(built["panels"], start=1):
        panel["id"] = number
    return built


def link(uid: str, *carried: str, **values: str) -> str:
    """The address of another dashboard at the same time, with these choices, and the variables `carried` as they are here."""
    chosen = [*(f"var-{name}={value}" for name, value in values.items()), *(f"${{{name}:queryparam}}" for name in carried)]
    return f"/d/{uid}?{'&'.join(chosen)}&${{__url_time_range}}"


def written(dashboard: Json) -> str:
    """The text of its file."""
    return json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"
