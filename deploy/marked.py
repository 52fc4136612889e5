"""Generated parts of pages that people write: each stands between two marks, `<!-- name -->` and `<!-- name end -->`."""

from __future__ import annotations


def put(page: str, name: str, text: str) -> str:
    """The page with the text between the marks of this name replaced; raises ValueError when a mark is not there."""
    start, end = f"<!-- {name} -->", f"<!-- {name} end -->"
    head, found, rest = page.partition(start)
    _, ended, tail = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page must have the marks {start!r} and {end!r}, and has them not")
    return f"{head}{start}\n{text}\n{end}{tail}"
