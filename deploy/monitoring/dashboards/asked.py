"""Every query of every dashboard, read from what is shipped, as it reaches Prometheus or PostgreSQL. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

from deploy.monitoring.dashboards.interpolation import View, prometheus, sql
from deploy.monitoring.dashboards.page import Json

Datasource = Literal["prometheus", "postgres"]

_VALUES_OF: Final = re.compile(r"^label_values\((?P<metric>.+), (?P<label>\w+)\)$")


class Query(NamedTuple):
    """A query: the dashboard's uid, the panel's title, whom it asks, and its text."""

    dashboard: str
    panel: str
    """`the variable NAME` and `the marks NAME` are those that stand in no panel."""
    datasource: Datasource
    expr: str


def queries(dashboards: Iterable[Json], view: View) -> list[Query]:
    """All of them, with every variable and macro replaced; raises ValueError for a variable that `view` has no value for."""
    made = []
    for dashboard in dashboards:
        variables = dashboard["templating"]["list"]
        several = {one["name"] for one in variables if one.get("multi") or one.get("includeAll")}
        for panel, datasource, text in raw(dashboard):
            expr = sql(text, view) if datasource == "postgres" else prometheus(text, view, several)
            made.append(Query(dashboard["uid"], panel, datasource, expr))
    return made


def raw(dashboard: Json) -> Iterator[tuple[str, Datasource, str]]:
    """A dashboard's queries as they are written: where, whom they ask, the text."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"the variable {variable['name']}", *_variable(variable)
    for annotation in dashboard.get("annotations", {}).get("list", ()):
        yield f"the marks {annotation['name']}", "prometheus", annotation["expr"]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            if "rawSql" in target:
                yield panel["title"], "postgres", target["rawSql"]
            else:
                yield panel["title"], "prometheus", target["expr"]


def _variable(variable: dict[str, Any]) -> tuple[Datasource, str]:
    if variable["datasource"]["uid"] == "${postgres}":
        return "postgres", variable["query"]
    found = _VALUES_OF.match(variable["query"]["query"])
    if found is None:
        raise ValueError(f"a variable must ask label_values(metric, label), not {variable['query']!r}; write it so")
    return "prometheus", f"count by ({found['label']}) ({found['metric']})"
