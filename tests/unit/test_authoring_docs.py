"""docs/reference-map.md names each block and pattern of the reference, and tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

from tests.reference.blocks import DOCUMENT, MODULES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference-map.md").read_text(encoding="utf-8")


def test_every_block_and_pattern_is_on_the_page() -> None:
    """Each heading with code, with its module, and each of the seven key patterns has a row."""
    for heading, module in MODULES.items():
        assert re.search(rf"^\| {heading} \| `{re.escape(module)}` \|", PAGE, re.M), heading
    patterns = re.findall(r"^(\d\. )\*\*(.+?)\*\*", DOCUMENT.read_text(encoding="utf-8"), re.M)
    assert len(patterns) == 7
    for number, pattern in patterns:
        assert f"| {number}{pattern} |" in PAGE


def test_every_test_on_the_page_exists() -> None:
    """A test that is renamed is renamed on the page too."""
    file = ""
    named = re.findall(r"`([\w/.]*)::(\w+)`", PAGE)
    assert named
    for given, test in named:
        file = given or file
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"
