"""Pages that name the tests behind their claims name tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = {"P": "test_celery_parity.py", "C": "test_celery_control.py"}


def _sources() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("page", ["celery.md", "promises.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    """A test that is renamed or removed takes the page's claim with it."""
    sources = _sources()
    functions = set(re.findall(r"^(?:async )?def (test_\w+)", "\n".join(sources.values()), re.MULTILINE))
    named = re.findall(r"`(test_\w+?)(\.py|…)?`", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert len(named) > 20
    missing = [
        name + end
        for name, end in named
        if (end == ".py" and name + end not in sources)
        or (end == "" and name not in functions)
        or (end == "…" and not any(function.startswith(name) for function in functions))
    ]
    assert missing == []


def test_every_parity_test_has_its_line_on_the_page() -> None:
    """What is compared with a stock worker is told."""
    page = (ROOT / "docs" / "celery.md").read_text(encoding="utf-8")
    sources = _sources()
    for name in SHORT.values():
        for function in re.findall(r"^def (test_\w+)", sources[name], re.MULTILINE):
            told = f"`{function}`" in page or any(function.startswith(part) for part in re.findall(r"`(test_\w+)…`", page))
            assert told, f"docs/celery.md must name {function}"


def test_every_setting_is_on_its_page() -> None:
    """An environment variable that is read is told, and one that is told is read."""
    code = (ROOT / "services" / "windrow" / "settings.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    read = {*re.findall(r'^    """`([A-Z_]+)`:', code, re.MULTILINE), "WINDROW_LOG_LEVEL"}
    assert read == set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
