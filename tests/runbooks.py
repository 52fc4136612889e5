"""The runbooks as tests read them: pages, sections, and the commands in their fences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "deploy/monitoring/runbooks"
SECTIONS = ("Meaning", "What users feel", "How to look", "How to mend", "How to prevent")
_FENCE = re.compile(r"^( *)```(\S+) ?([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One line of a fence."""

    page: str
    kind: str
    """`bash` (against any platform), `bash kubectl` (on a cluster), `promql`."""
    line: str


def pages() -> dict[str, str]:
    """Each page's text by its alert."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}


def sections(page: str) -> dict[str, str]:
    """What stands under each heading of the second level, in the page's order."""
    _, *parts = re.split(r"^## ", page, flags=re.MULTILINE)
    return {part.split("\n", 1)[0]: part.split("\n", 1)[1].strip() for part in parts}


def commands(*kinds: str) -> list[Command]:
    """Every line of the fences of these kinds, over all pages."""
    found = []
    for name, page in pages().items():
        for _, language, mark, body in _FENCE.findall(page):
            kind = f"{language} {mark}".strip()
            if kind in kinds:
                found += [Command(name, kind, line.strip()) for line in body.splitlines() if line.strip()]
    return found


def kinds() -> set[str]:
    """The kinds of fence that occur."""
    return {f"{language} {mark}".strip() for page in pages().values() for _, language, mark, _ in _FENCE.findall(page)}
