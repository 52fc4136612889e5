"""What a viewer chooses at the top of a dashboard."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable, TextBoxVariable
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableOption, VariableRefresh, VariableSort

from deploy.monitoring.dashboards.sql import POSTGRES

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="${prometheus}")
"""The Prometheus that the viewer chose."""

ANY: Final = ".*"
"""What stands for "All" in a query: it also matches a label that is not there, as on one machine."""


def prometheus() -> DatasourceVariable:
    """Which Prometheus."""
    return DatasourceVariable("prometheus").label("Prometheus").type("prometheus")


def postgres() -> DatasourceVariable:
    """Which PostgreSQL."""
    return DatasourceVariable("postgres").label("PostgreSQL").type("grafana-postgresql-datasource")


def labels(name: str, title: str, metric: str, *, every: bool = False) -> QueryVariable:
    """The values that the label `name` has in `metric`, which may carry matchers; `every` allows all of them at once."""
    variable = (
        QueryVariable(name)
        .label(title)
        .datasource(PROMETHEUS)
        .query({"query": f"label_values({metric}, {name})", "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )
    if every:
        variable = variable.include_all(True).all_value(ANY).current(VariableOption(text="All", value="$__all"))
    return variable


def installation() -> QueryVariable:
    """Which installation, `<namespace>/<release>`; on one machine there is none."""
    return labels("installation", "Installation", "windrow_queue_tasks", every=True)


def queue(*, every: bool = False) -> QueryVariable:
    """Which queue."""
    return labels("queue", "Queue", 'windrow_queue_tasks{installation=~"$installation"}', every=every)


def task() -> QueryVariable:
    """Which task, of those that ran on the chosen queues."""
    return labels("task", "Task", 'windrow_attempts_total{installation=~"$installation", queue=~"$queue"}')


def recorded(name: str, title: str, statement: str) -> QueryVariable:
    """Values that a statement gives, several or all of them at once."""
    return (
        QueryVariable(name)
        .label(title)
        .datasource(POSTGRES)
        .query(statement)
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .multi(True)
        .include_all(True)
        .current(VariableOption(text=["All"], value=["$__all"]))
    )


def text(name: str, title: str) -> TextBoxVariable:
    """What the viewer types; nothing at first."""
    return TextBoxVariable(name).label(title).default_value("").current(VariableOption(text="", value=""))
