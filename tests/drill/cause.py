"""What a cause is: harm, its mending, and what must fire for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.drill.judge import Alert, Expected

if TYPE_CHECKING:
    from tests.drill.stage import Stage

Act = Callable[["Stage"], None]


@dataclass(frozen=True)
class Cause:
    """One row of the drill."""

    name: str
    says: str
    """What is done, in a sentence."""
    expected: Expected
    begin: Act
    mend: Act
    warm: str = ""
    """A queue that has a worker when it begins, so that starting one is no part of the row."""
    fires_s: float = 180.0
    """All of it must have been notified so long after the beginning."""
    resolves_s: float = 180.0
    """All of it must have been resolved so long after the mending."""
    prepare: Act = lambda stage: None
    """What must stand before it begins, and is no part of the row."""
    settled: Callable[[Stage], bool] = lambda stage: True
    """Whether nothing is left of it that might fire later; asked after it was resolved."""
    not_here: Callable[[], str | None] = lambda: None
    """A sentence when it can't be tried on this machine, said loudly."""


def expect(notified: Iterable[str], queue: str = "", silent: Iterable[str] = (), allowed: Iterable[str] = ()) -> Expected:
    """Alerts of one queue (or of the platform) by their names, without `Windrow`."""

    def of(names: Iterable[str]) -> frozenset[Alert]:
        return frozenset(Alert(f"Windrow{name}", queue) for name in names)

    return Expected(of(notified), of(silent), of(allowed))
