"""A row of the end-to-end table: its name, what it does, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.judge import Verdict
from tests.e2e.stage import Stage


@dataclass
class Outcome:
    """What a row has found; the figures are those of its tasks."""

    accepted: int = 0
    missing: int = 0
    finished_twice: int = 0
    repeated: int = 0
    overlapping: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    """Further figures, by name."""
    wrong: list[str] = field(default_factory=list)
    """Rules that did not hold, a sentence each."""

    def add(self, verdict: Verdict, *, repeats: bool) -> None:
        """Take in the tasks of a load; `repeats`: whether a body may have started again."""
        for name in ("accepted", "missing", "finished_twice", "repeated", "overlapping"):
            setattr(self, name, getattr(self, name) + getattr(verdict, name))
        for name in ("missing", "finished_twice", "overlapping"):
            if getattr(verdict, name):
                self.wrong.append(f"{name} must be 0 and is {getattr(verdict, name)}: {verdict.detail.get(name)}")
        if verdict.repeated and not repeats:
            self.wrong.append(f"repeated must be 0 and is {verdict.repeated}")

    def check(self, holds: object, sentence: str) -> None:
        """Note a rule that does not hold, and go on."""
        if not holds:
            self.wrong.append(sentence)


@dataclass(frozen=True)
class Row:
    """One row; it leaves the cluster as the next one needs it."""

    name: str
    says: str
    play: Callable[[Stage], Outcome | Mapping[str, Outcome]]
    """Gives its outcome, or those of several rows that were played at once."""
    gives: tuple[str, ...] = ()
    """The rows that it gives, when there are several."""
