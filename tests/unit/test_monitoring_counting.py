"""What the dashboards count over a time, by Prometheus itself: promtool plays series and asks."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.monitoring.dashboards import View, queries
from deploy.monitoring.dashboards.interpolation import prometheus
from deploy.monitoring.dashboards.promql import counted, failed, grown, share

PROMTOOL = shutil.which("promtool")
VIEW = View(
    {"installation": ".*", "queue": "mail", "task": "shop.send", "search": ""},
    datetime(2026, 11, 1, 12, 0, tzinfo=UTC),
    datetime(2026, 11, 1, 12, 5, tzinfo=UTC),
)
"""Five minutes, seen in steps of 15 seconds."""
pytestmark = pytest.mark.skipif(
    PROMTOOL is None, reason="*** NO COUNT WAS TESTED: promtool (Debian's package prometheus) must be installed, and is not ***"
)


def promtool(folder: Path, command: str, document: Any) -> None:
    file = folder / "asked.yaml"
    file.write_text(yaml.safe_dump(document))
    done = subprocess.run([str(PROMTOOL), command, "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def asked(folder: Path, query: str, expected: dict[str, float], **series: str) -> None:
    """Assert what a query gives ten minutes and five seconds after the first of the series' samples, one each 15 seconds."""
    rule = {
        "expr": prometheus(query, VIEW, ()),
        "eval_time": "10m5s",
        "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
    }
    given = [{"series": name, "values": values} for name, values in series.items()]
    case = {"interval": "15s", "input_series": given, "promql_expr_test": [rule]}
    promtool(folder, "test", {"evaluation_interval": "15s", "tests": [case]})


def test_prometheus_reads_every_query(tmp_path: Path) -> None:
    """Its own parser takes each of them."""
    exprs = dict.fromkeys(query.expr for query in queries(VIEW) if query.datasource == "prometheus")
    rules = [{"record": f"asked:{number}", "expr": expr} for number, expr in enumerate(exprs)]
    promtool(tmp_path, "check", {"groups": [{"name": "asked", "rules": rules}]})


def test_a_sum_counts_what_came_in_the_time(tmp_path: Path) -> None:
    """As many as there were, and no more for the seconds between samples."""
    asked(tmp_path, grown("x:sum", 'queue="q"'), {'{queue="q"}': 7}, **{'x:sum{queue="q"}': "90 100+0x20 107+0x20"})


def test_a_counter_counts_once_whoever_leads(tmp_path: Path) -> None:
    """A server that leads again tells what the other one had counted; that counts no second time."""
    name = 'windrow_attempts_total{queue="q",task="t",instance="%s"}'
    asked(
        tmp_path,
        counted("windrow_attempts_total", 'queue="q"', "queue"),
        {'{queue="q"}': 19},
        **{name % "a": "100+0x21 101+1x4 _x10 116+1x3", name % "b": "_x25 106+1x9 _x10"},
    )


def test_a_new_error_of_a_known_task_counts_from_nought(tmp_path: Path) -> None:
    """Its series begins with its first failure, which is one; what a task had that came into sight meanwhile, nobody knows."""
    name = 'windrow_failures_total{queue="q",task="%s",error="%s",instance="a"}'
    asked(
        tmp_path,
        failed('queue="q"', "task", "error"),
        {'{task="old",error="Known"}': 19, '{task="old",error="New"}': 3, '{task="late",error="X"}': 10},
        **{
            'windrow_attempts_total{queue="q",task="old",instance="a"}': "10+1x40",
            name % ("old", "Known"): "100+0x21 101+1x18",
            name % ("old", "New"): "_x30 1 3+0x9",
            name % ("late", "X"): "_x30 50+1x10",
        },
    )


def test_a_share_of_nothing_is_nothing(tmp_path: Path) -> None:
    """Where nothing ended there is no part of it that ended well."""
    asked(tmp_path, share("x", "y"), {'{queue="b"}': 0.25}, **{
        'x{queue="a"}': "0+0x40", 'y{queue="a"}': "0+0x40", 'x{queue="b"}': "1+0x40", 'y{queue="b"}': "4+0x40",
    })  # fmt: skip
