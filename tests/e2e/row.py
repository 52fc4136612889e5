"""A row of the end-to-end table: its name, what it does, and what came of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.judge import Verdict
from tests.e2e.stage import Stage, Wrong, clock


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
    seconds: float | None = None
    """How long it took, where several were played at once."""

    def add(self, verdict: Verdict, *, repeats: bool) -> None:
        """Take in the tasks of a load; `repeats`: whether a body may have started again."""
        for name in ("accepted", "missing", "finished_twice", "repeated", "overlapping"):
            setattr(self, name, getattr(self, name) + getattr(verdict, name))
        if verdict.unsent:
            self.notes["unsent"] = self.notes.get("unsent", 0) + verdict.unsent
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
    after: tuple[str, ...] = ()
    """The rows that leave the cluster as this one needs it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it has in the table."""
        return self.gives or (self.name,)


def chosen(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows with these names and those that they come after, in their order; all when none is named.

    Raises ValueError for a name that there is not.
    """
    known = {name: row for row in rows for name in (row.name, *row.gives)}
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"rows must be among {', '.join(known)}, not {', '.join(unknown)}")
    wanted: set[str] = set()
    left = [known[name].name for name in names] or [row.name for row in rows]
    while left:
        row = known[left.pop()]
        if row.name not in wanted:
            wanted.add(row.name)
            left += row.after
    return [row for row in rows if row.name in wanted]


def tried(play: Callable[[], Outcome]) -> Outcome:
    """What a row gives; a rule that raised, or a row that broke, is a miss, and the others go on."""
    begun = clock()
    try:
        outcome = play()
    except (Wrong, AssertionError) as reason:
        outcome = Outcome(wrong=[str(reason)])
    except Exception as reason:
        traceback.print_exc()
        outcome = Outcome(wrong=[repr(reason)])
    outcome.seconds = round(clock() - begun, 1)
    return outcome


def together(stage: Stage, plays: Mapping[str, Callable[[Stage], Outcome]]) -> dict[str, Outcome]:
    """Rows that don't touch each other, played at once."""
    with ThreadPoolExecutor(len(plays)) as pool:
        running = {name: pool.submit(tried, lambda play=play: play(stage)) for name, play in plays.items()}
        return {name: row.result() for name, row in running.items()}
