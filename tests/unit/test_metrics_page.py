"""docs/metrics.md is the catalogue's, and nobody else's."""

from pathlib import Path

from windrow.metrics.page import COMMAND, page


def test_the_page_is_current():
    """When the catalogue changes, the page is made anew."""
    written = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    assert written == page(), f"docs/metrics.md must be what the catalogue says; run: {COMMAND}"
