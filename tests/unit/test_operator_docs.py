"""docs/operator.md is true: the rights it lists are those in the code, and every condition's reason is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from windrow_operator import conditions, rbac
from windrow_operator.statusschema import CONDITIONS, MODES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operator.md").read_text(encoding="utf-8")


def test_the_rights_are_those_of_the_code() -> None:
    begin, end = "<!-- rights -->\n", "<!-- /rights -->"
    written = PAGE[PAGE.index(begin) + len(begin) : PAGE.index(end)]
    assert written == rbac.table(), "stale: put what `python -m windrow_operator.rbac --table` prints between the marks"


def test_every_condition_and_reason_is_explained() -> None:
    source = Path(conditions.__file__).read_text(encoding="utf-8")
    said = re.findall(r'Said\(\s*"(\w+)", "\w+", "(\w+)"', source)
    assert {kind for kind, _ in said} == set(CONDITIONS)
    section = PAGE[PAGE.index("## Conditions") : PAGE.index("## What can be relied on")]
    for kind, reason in said:
        assert f"| {kind} |" in section
        assert f"`{reason}`" in section, reason


@pytest.mark.parametrize("reason", ["InvalidSpec", "QueueServedTwice"])
def test_reasons_that_are_chosen_as_they_are_said_are_explained_too(reason: str) -> None:
    assert f"`{reason}`" in PAGE


def test_every_mode_is_explained() -> None:
    for mode in MODES:
        assert f"`{mode}`" in PAGE


def test_every_object_that_is_rendered_is_listed() -> None:
    source = (ROOT / "operator/windrow_operator/render.py").read_text(encoding="utf-8")
    kinds = re.findall(r'"kind": "(\w+)"', source)
    assert len(kinds) == 4
    for kind in kinds:
        assert f"| {kind} |" in PAGE
