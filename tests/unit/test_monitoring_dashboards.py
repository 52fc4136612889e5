"""The dashboards are what the code makes, ask only for what there is, and each panel answers one question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import promql_parser
import pytest
import yaml
from promql_parser import AggregateExpr, BinaryExpr, Call, MatrixSelector, ParenExpr, SubqueryExpr, VectorSelector

from deploy.monitoring.dashboards import View, dashboards, files, queries
from deploy.monitoring.dashboards.__main__ import FOLDERS, PAGE, page
from deploy.monitoring.dashboards.asked import raw
from deploy.monitoring.dashboards.interpolation import prometheus, sql
from tests.workers import ROOT
from windrow.metrics.catalogue import CATALOGUE

PAGES = {one["uid"]: one for one in dashboards()}
VIEW = View(
    {"installation": ".*", "queue": "mail", "task": "shop.send", "search": "it's"},
    datetime(2026, 11, 1, 12, tzinfo=UTC),
    datetime(2026, 11, 1, 13, tzinfo=UTC),
)
ANYWHERE = {"installation", "job", "instance"}
ALERT = {"alertname", "alertstate", "severity", "queue"}
UNITS = {"s", "bytes", "percentunit", "none"}


def panels() -> list[Any]:
    """The panels that ask something, as parameters."""
    return [
        pytest.param(uid, panel, id=f"{uid}-{panel['id']}")
        for uid, page in PAGES.items()
        for panel in page["panels"]
        if panel["type"] != "row"
    ]


def recorded() -> dict[str, set[str]]:
    """The recording rules that are shipped, and their labels."""
    shipped = yaml.safe_load((ROOT / "charts/windrow/files/monitoring/rules.yaml").read_text(encoding="utf-8"))
    rules = [rule for group in shipped["groups"] for rule in group["rules"]]
    return {rule["record"]: {"queue", *rule.get("labels", {})} for rule in rules if "record" in rule}


def known() -> dict[str, set[str]]:
    """Every series there is, and its labels."""
    series: dict[str, set[str]] = {"ALERTS": ALERT} | recorded()
    for metric in CATALOGUE:
        if metric.kind == "histogram":
            series[f"{metric.name}_bucket"] = {*metric.labels, "le"}
            series |= {f"{metric.name}_{end}": set(metric.labels) for end in ("sum", "count")}
        else:
            series[metric.name] = set(metric.labels)
    return series


KNOWN = known()


def selectors(expr: Any) -> Iterator[VectorSelector]:
    """Each selector of an expression."""
    if isinstance(expr, VectorSelector):
        yield expr
    for name in ("expr", "lhs", "rhs", "vector_selector", "selector", "vs", "param"):
        if (inner := getattr(expr, name, None)) is not None:
            yield from selectors(inner)
    for one in getattr(expr, "args", ()) or ():
        yield from selectors(one)


def labels(expr: Any) -> set[str]:
    """The labels that the series of an expression have; asserts that it aggregates by labels which are there."""
    match expr:
        case AggregateExpr():
            inner = labels(expr.expr)
            by = set(expr.modifier.labels) if expr.modifier else set()
            assert by <= inner, f"{expr.prettify()} aggregates by {by - inner}, which its series don't have"
            return inner if str(expr.op) in ("topk", "bottomk") else by
        case BinaryExpr():
            right = labels(expr.rhs)
            return labels(expr.lhs) or right
        case Call():
            inner = set().union(*(labels(one) for one in expr.args))
            return inner - {"le"} if expr.func.name == "histogram_quantile" else inner
        case ParenExpr() | SubqueryExpr():
            return labels(expr.expr)
        case VectorSelector():
            return KNOWN[expr.name] | ANYWHERE
        case MatrixSelector():
            (one,) = selectors(expr)
            return labels(one)
    return set()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_files_are_what_the_code_makes(folder: Any) -> None:
    """`python -m deploy.monitoring.dashboards` would write what is there, and nothing else is there."""
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    assert there == files(), "run: python -m deploy.monitoring.dashboards"


def test_the_page_lists_every_panel() -> None:
    """docs/dashboards.md has the questions and answers of the code."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run: python -m deploy.monitoring.dashboards"


def test_a_config_map_holds_a_dashboard() -> None:
    """Each file is far below the 1 MiB that a ConfigMap may have."""
    assert all(len(text.encode()) < 300_000 for text in files().values())


def test_their_addresses_stay() -> None:
    """Links and bookmarks go by these; who renames one breaks them."""
    assert set(PAGES) == {"windrow-overview", "windrow-queue", "windrow-task", "windrow-platform", "windrow-executions"}


@pytest.mark.parametrize(("uid", "panel"), panels())
def test_a_panel_answers_one_question_in_a_unit(uid: str, panel: dict[str, Any]) -> None:
    """Its title is a question, no other of the dashboard has it, and a sentence says what is shown."""
    title = panel["title"]
    assert title.endswith("?")
    assert [one["title"] for one in PAGES[uid]["panels"]].count(title) == 1
    unit = panel["fieldConfig"]["defaults"]["unit"]
    assert unit in UNITS or unit.startswith(("count:", "suffix:"))
    assert panel["description"].endswith(".")
    assert panel["targets"]


@pytest.mark.parametrize("uid", PAGES)
def test_no_panel_lies_on_another(uid: str) -> None:
    """Each cell of the grid belongs to one panel, and none sticks out."""
    taken: dict[tuple[int, int], str] = {}
    for panel in PAGES[uid]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


PROMQL = [
    pytest.param(*query, id=f"{query.dashboard}: {query.panel}") for query in queries(VIEW) if query.datasource == "prometheus"
]


@pytest.mark.parametrize(("uid", "panel", "datasource", "expr"), PROMQL)
def test_a_query_asks_for_what_there_is(uid: str, panel: str, datasource: str, expr: str) -> None:
    """It is PromQL; each of its series is in the catalogue or recorded, and each label is one of that series."""
    parsed = promql_parser.parse(expr)
    for selector in selectors(parsed):
        assert selector.name in KNOWN, f"{selector.name} is neither in the catalogue nor recorded"
        asked = {matcher.name for matcher in selector.matchers.matchers}
        assert asked <= KNOWN[selector.name] | ANYWHERE, f"{selector.name} has no {asked - KNOWN[selector.name] - ANYWHERE}"
        assert "installation" in asked or panel == "the variable installation", "each query is of the installations chosen"
    labels(parsed)


@pytest.mark.parametrize(("uid", "panel"), panels())
def test_what_names_a_series_is_there(uid: str, panel: dict[str, Any]) -> None:
    """Legends and columns name labels that the query leaves."""
    several = {"installation", "queue", "task"}
    left: set[str] = set()
    for target in panel["targets"]:
        if "expr" in target:
            mine = labels(promql_parser.parse(prometheus(target["expr"], VIEW, several)))
            assert set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))) <= mine
            left |= mine
    if panel["type"] == "table" and left:
        named = {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]}
        assert {name for name in named if not name.startswith("Value")} == left
        several_values = {f"Value #{target['refId']}" for target in panel["targets"]}
        assert {name for name in named if name.startswith("Value")} == (
            several_values if len(several_values) > 1 else {"Value"}
        )


@pytest.mark.parametrize("uid", PAGES)
def test_a_link_leads_to_a_dashboard_and_sets_what_it_has(uid: str) -> None:
    """Each address in a panel is another dashboard's, and the variables that it sets or takes along are there on both sides."""
    text = files()[f"{uid}.json"]
    mine = {one["name"] for one in PAGES[uid]["templating"]["list"]}
    for target, asked in re.findall(r'"(?:url)": "/d/([\w-]+)\?([^"]*)"', text):
        theirs = {one["name"] for one in PAGES[target]["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", asked)) <= theirs
        carried = set(re.findall(r"\$\{(\w+):queryparam\}", asked))
        assert carried <= mine & theirs
        assert "${__url_time_range}" in asked


def test_every_queue_leads_to_its_dashboard() -> None:
    """From the overview to a queue, from a queue to a task, from a task to an execution."""
    for uid, target in (
        ("windrow-overview", "windrow-queue"),
        ("windrow-queue", "windrow-task"),
        ("windrow-task", "windrow-executions"),
    ):
        assert f"/d/{target}?" in files()[f"{uid}.json"]


@pytest.mark.parametrize("uid", PAGES)
def test_who_is_asked_is_the_viewers_choice(uid: str) -> None:
    """Every query goes to the Prometheus or the PostgreSQL chosen at the top, and the dashboard offers just those it asks."""
    page = PAGES[uid]
    offered = {one["name"]: one["query"] for one in page["templating"]["list"] if one["type"] == "datasource"}
    asked = {datasource for _, datasource, _ in raw(page)}
    assert set(offered) == asked
    for panel in page["panels"]:
        for target in panel.get("targets", ()):
            kind = "postgres" if "rawSql" in target else "prometheus"
            assert target["datasource"] == {"type": offered[kind], "uid": f"${{{kind}}}"}


def test_what_a_viewer_types_stays_text() -> None:
    """A statement takes a value only as a quoted string; a regular expression takes it as itself."""
    view = View({"a": "x' OR 1=1 --", "b": ["p", "q'"], "c": 'sh.op"'}, VIEW.start, VIEW.end)
    assert sql("a = ${a:sqlstring} AND b IN (${b:sqlstring})", view) == "a = 'x'' OR 1=1 --' AND b IN ('p','q''')"
    with pytest.raises(ValueError, match="must say :sqlstring, not '\\$a'"):
        sql("a = '$a'", view)
    with pytest.raises(ValueError, match="the variable 'none' must have a value"):
        sql("${none:sqlstring}", view)
    assert prometheus('{a="$c"}', view, ()) == r'{a="sh.op\""}'
    assert prometheus('{a=~"$c"}', view, {"c"}) == r'{a=~"sh\\.op""}'
    assert prometheus('x{b=~"${b}"}[$__range]', View({"b": ["p", "q"]}, VIEW.start, VIEW.end), {"b"}) == 'x{b=~"(p|q)"}[3600s]'


@pytest.mark.parametrize("uid", PAGES)
def test_every_variable_in_a_statement_is_quoted(uid: str) -> None:
    """Grafana puts a value in as it was typed, unless it is told to make a string of it."""
    for _, datasource, text in raw(PAGES[uid]):
        if datasource == "postgres":
            assert not re.search(r"\$(?!__)\w|\$\{\w+(:(?!sqlstring\})\w+)?\}", text), text
            assert "'${" not in text
