"""The kinds of panels. Each answers the one question in its title, in a unit, with a sentence on what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.monitoring.dashboards.sql import POSTGRES, Sql
from deploy.monitoring.dashboards.variables import PROMETHEUS

SECONDS: Final = "s"
RATIO: Final = "percentunit"
BYTES: Final = "bytes"
TIMES: Final = "suffix:×"
"""How many times as much."""

Steps = Sequence[tuple[str, float | None]]
"""Colours, each from its value on; the first from None."""
Words = tuple[tuple[str, str, str], ...]
"""Values, each with the word for it and its colour."""
BELOW_IS_BAD: Final[Steps] = (("red", None), ("orange", 0.0), ("green", 0.25))
"""A budget: nothing left, less than a quarter left, enough."""
ANY_IS_BAD: Final[Steps] = (("green", None), ("red", 1.0))
MUST_BE_ONE: Final[Steps] = (("red", None), ("green", 1.0), ("red", 2.0))
BURN: Final[Steps] = (("green", None), ("yellow", 1.0), ("orange", 6.0), ("red", 14.4))
"""Times as fast as the budget allows, as the alerts see it."""


@dataclass(frozen=True)
class Ask:
    """A PromQL query and what its series are called: a template of labels, or nothing for all labels."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Column:
    """How a column of a table is shown."""

    unit: str | None = None
    title: str | None = None
    width: int | None = None
    link: str | None = None
    steps: Steps = ()
    words: Words = ()
    hidden: bool = False


YES_NO: Final[Words] = (("1", "yes", "green"), ("0", "no", "red"))
NO_YES: Final[Words] = (("0", "no", "green"), ("1", "yes", "orange"))

Kind = TypeVar("Kind", timeseries.Panel, stat.Panel, table.Panel, bargauge.Panel)


def of(unit: str) -> str:
    """A unit of counted things, with K and M before it."""
    return f"count:{unit}"


def lines(
    title: str, about: str, unit: str, *asks: Ask | Sql, width: int = 12, stacked: bool = False, bars: bool = False,
    steps: Steps = (), limits: Sequence[str] = (), top: float | None = None, link: tuple[str, str] | None = None,
) -> timeseries.Panel:  # fmt: skip
    """Figures over time. `limits` are the series that bound the others, dashed and red; `steps` are drawn as lines."""
    panel = _common(timeseries.Panel(), title, about, unit, asks, width, 8).min(0).line_width(1).fill_opacity(8)
    panel = panel.legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    ).tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(40)
    if bars:
        panel = panel.draw_style(GraphDrawStyle.BARS).fill_opacity(80)
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds(steps)).thresholds_style(style)
    if top is not None:
        panel = panel.axis_soft_max(top)
    if link is not None:
        panel = panel.data_links([DashboardLink(link[0]).url(link[1])])
    for name in limits:
        dashes = {"fill": "dash", "dash": [10, 10]}
        panel = panel.override_by_regexp(
            f"^{name}",
            [
                _set("color", {"mode": "fixed", "fixedColor": "red"}),
                _set("custom.lineStyle", dashes),
                _set("custom.fillOpacity", 0),
                _set("custom.stacking", {"mode": "none", "group": "limits"}),
            ],
        )
    return panel


def figure(
    title: str, about: str, unit: str, *asks: Ask | Sql, width: int = 4, steps: Steps = (), decimals: int | None = None,
    words: Words = (),
) -> stat.Panel:  # fmt: skip
    """The last figure of each series, large; or the word for it."""
    panel = _common(stat.Panel(), title, about, unit, asks, width, 4)
    panel = panel.graph_mode(BigValueGraphMode.NONE).color_mode(BigValueColorMode.VALUE).no_value("–")
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if decimals is not None:
        panel = panel.decimals(decimals)
    if words:
        panel = panel.mappings([_mapping(words)])
    return panel.thresholds(_thresholds(steps)) if steps else panel


def gauges(
    title: str, about: str, unit: str, *asks: Ask, width: int = 12, steps: Steps, low: float, high: float,
    link: tuple[str, str] | None = None,
) -> bargauge.Panel:  # fmt: skip
    """The last figure of each series as a bar between `low` and `high`."""
    panel = _common(bargauge.Panel(), title, about, unit, asks, width, 8).min(low).max(high).thresholds(_thresholds(steps))
    panel = panel.orientation(VizOrientation.HORIZONTAL).no_value("–")
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.data_links([DashboardLink(link[0]).url(link[1])]) if link is not None else panel


def rows(
    title: str, about: str, unit: str, *asks: Ask | Sql, width: int = 24, height: int = 8,
    columns: dict[str, Column] | None = None, sort: tuple[str, bool] | None = None,
) -> table.Panel:  # fmt: skip
    """A table: what a statement gives, or the series of queries beside each other, a line for each set of labels.

    `columns` are by name; a query's figure is called `Value #A` of its own, by the letter of its place, or just `Value`
    when it is the only one. `sort`: a column's title, and whether the highest comes first.
    """
    panel = _common(table.Panel(), title, about, unit, asks, width, height).filterable(True).inspect(True)
    if all(isinstance(ask, Ask) for ask in asks):
        panel = panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        hidden = {"Time": True} | {name: True for name, column in (columns or {}).items() if column.hidden}
        places = {name: place for place, name in enumerate(columns or {})}
        organize = {"excludeByName": hidden, "indexByName": places, "renameByName": {}}
        panel = panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=organize))
    for name, column in (columns or {}).items():
        panel = panel.override_by_name(name, _column(column))
    if sort is not None:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort[0]).desc(sort[1])])
    return panel


def _column(column: Column) -> list[models.DynamicConfigValue]:
    made = []
    if column.unit is not None:
        made.append(_set("unit", column.unit))
    if column.title is not None:
        made.append(_set("displayName", column.title))
    if column.width is not None:
        made.append(_set("custom.width", column.width))
    if column.link is not None:
        made.append(_set("links", [{"title": "${__value.text}", "url": column.link}]))
    if column.steps:
        made.append(_set("thresholds", _thresholds(column.steps).build()))
        made.append(_set("custom.cellOptions", {"type": "color-text"}))
    if column.words:
        made.append(_set("mappings", [_mapping(column.words)]))
        made.append(_set("custom.cellOptions", {"type": "color-text"}))
    return made


def _common(panel: Kind, title: str, about: str, unit: str, asks: Sequence[Ask | Sql], width: int, height: int) -> Kind:
    panel = panel.title(title).description(about).unit(unit).span(width).height(height)
    panel = panel.datasource(POSTGRES if isinstance(asks[0], Sql) else PROMETHEUS)
    if isinstance(panel, timeseries.Panel):
        panel = panel.color_scheme(FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    for place, ask in enumerate(asks):
        panel = panel.with_target(_target(ask, chr(ord("A") + place), panel))
    return panel


def _target(ask: Ask | Sql, ref: str, panel: object) -> Builder[variants.Dataquery]:
    if isinstance(ask, Sql):
        return Sql(ask.statement, ref=ref, series=isinstance(panel, timeseries.Panel))
    query = Dataquery().expr(ask.expr).ref_id(ref).datasource(PROMETHEUS)
    if ask.legend:
        query = query.legend_format(ask.legend)
    if isinstance(panel, table.Panel):
        return query.instant().format(PromQueryFormat.TABLE)
    return query.range() if isinstance(panel, timeseries.Panel) else query.instant()


def _thresholds(steps: Steps) -> ThresholdsConfig:
    made = [models.Threshold(color=colour, value=value) for colour, value in steps]
    return ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def _mapping(words: Words) -> models.ValueMapping:
    return models.ValueMap(options={value: models.ValueMappingResult(text=word, color=colour) for value, word, colour in words})


def _set(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val=name, value=value)
