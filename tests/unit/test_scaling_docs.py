"""docs/scaling.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from windrow.scaling import Reason

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_each_reason_is_on_the_page() -> None:
    """Every reason stands in the table with the meaning it has where it is declared, in the same order, and no other."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert rows == [(str(reason), reason.meaning) for reason in Reason]
