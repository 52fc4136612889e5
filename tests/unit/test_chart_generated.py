"""What is generated of the charts is what is committed, and the schema says what the model says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml

from tests.workers import ROOT
from windrow_operator import chart
from windrow_operator.rbac import CHART_HEAD, chart_rules

CHARTS = ROOT / "charts"
VALUES = (CHARTS / "windrow/values.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["values.schema.json", "README.md"])
def test_schema_and_table_are_fresh(name: str) -> None:
    """`python -m windrow_operator.chart` would write what is there."""
    assert (CHARTS / "windrow" / name).read_text(encoding="utf-8") == chart.generated(VALUES)[name]


def test_the_rights_are_those_of_the_operator() -> None:
    """The chart grants what `rbac.py` says, by the command that writes it."""
    printed = subprocess.run(
        [sys.executable, "-m", "windrow_operator.rbac", "--chart"], capture_output=True, text=True, check=True
    )
    assert printed.stdout == (CHARTS / "windrow/files/rules.yaml").read_text(encoding="utf-8")
    assert printed.stdout.startswith(CHART_HEAD)
    assert yaml.safe_load(printed.stdout) == chart_rules()


def test_a_value_is_documented_where_it_stands() -> None:
    """A comment above a key is its meaning; one above a mapping is its first key's."""
    table = chart.table("# What it is\nimage:\n  repository: here\n  # Which one\n  tag: ''\n")
    assert "| `image.repository` | `here` | What it is |" in table
    assert "| `image.tag` | `''` | Which one |" in table


def test_people_decide_replicas_and_paused() -> None:
    """A queue of the values has every key of a QueueWorker's spec but these two."""
    schema = json.loads((CHARTS / "windrow/values.schema.json").read_text(encoding="utf-8"))
    (spec,) = schema["properties"]["queues"]["patternProperties"].values()
    assert not {"replicas", "paused"} & set(spec["properties"])
    assert {"queue", "app", "pool", "concurrency", "timeLimits", "scaling", "template", "connection"} <= set(spec["properties"])
    assert spec["additionalProperties"] is False


def test_both_charts_and_the_package_have_one_version() -> None:
    """A release is one number."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in ("windrow", "windrow-crds"):
        manifest = yaml.safe_load((CHARTS / name / "Chart.yaml").read_text(encoding="utf-8"))
        assert f'\nversion = "{manifest["version"]}"\n' in project
        assert manifest["version"] == manifest["appVersion"]
