"""The windrow.yaml files that people copy from."""

from __future__ import annotations

from pathlib import Path

import pytest

from windrow.queues import load_specs

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", sorted((ROOT / "deploy/examples").glob("*.yaml")), ids=lambda path: path.name)
def test_an_example_has_no_fault(path: Path) -> None:
    """What stands in deploy/examples is accepted as it is."""
    assert load_specs(path)


def test_the_readme_names_the_commands() -> None:
    """A newcomer finds how to run and how to test."""
    text = (ROOT / "README.md").read_text()
    assert "make run" in text
    assert "make test" in text
