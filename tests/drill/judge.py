"""What was expected of a phase, compared with what Alertmanager notified and Prometheus showed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Alert:
    """An alert by its name and its queue; without a queue it is about the platform."""

    name: str
    queue: str = ""

    def __str__(self) -> str:
        return f"{self.name}({self.queue})" if self.queue else self.name


@dataclass
class Episode:
    """When an alert was first and last seen to fire, and when it was seen to have gone; seconds on the drill's clock."""

    fired: float
    gone: float | None = None
    """None while it fires."""


Seen = Mapping[Alert, Episode]


@dataclass(frozen=True)
class Expected:
    """What one cause must lead to."""

    notified: frozenset[Alert]
    """These page, or make a ticket: Alertmanager notifies them."""
    silent: frozenset[Alert] = frozenset()
    """These fire in Prometheus and are held back, since what causes them has been notified."""
    allowed: frozenset[Alert] = frozenset()
    """These may fire as well, or not, depending on the moment; they must never be notified."""


@dataclass(frozen=True)
class Times:
    """What the drill did, on its clock."""

    begun: float
    mended: float


@dataclass(frozen=True)
class Verdict:
    """One row."""

    fired: tuple[str, ...] = ()
    """What was notified of what was expected."""
    held_back: tuple[str, ...] = ()
    fire_s: float | None = None
    """From the cause's beginning to the last expected notification; None when one never came."""
    resolve_s: float | None = None
    """From its mending to the last of these being notified as resolved."""
    why: tuple[str, ...] = field(default=())
    """What was not met, in sentences; empty when all was."""

    @property
    def met(self) -> bool:
        """Whether all was as expected."""
        return not self.why


def names(alerts: Iterable[Alert]) -> tuple[str, ...]:
    """Their texts, sorted."""
    return tuple(sorted(map(str, alerts)))


def judge(expected: Expected, notified: Seen, shown: Seen, times: Times) -> Verdict:
    """Compare what a cause must lead to with what was `notified` by Alertmanager and `shown` as firing by Prometheus."""
    why: list[str] = []
    came = {alert: notified[alert] for alert in expected.notified if alert in notified}
    for alert in sorted(expected.notified - came.keys()):
        also = "; Prometheus showed it, so it was held back" if alert in shown else ""
        why.append(f"{alert} must be notified, and was not{also}")
    for alert, episode in sorted(came.items()):
        if episode.fired < times.begun:
            why.append(f"{alert} must not be notified before its cause, and was {times.begun - episode.fired:.0f} s before")
        if episode.gone is None:
            why.append(f"{alert} must be resolved after mending, and was not")
        elif episode.gone < times.mended:
            why.append(f"{alert} must fire as long as its cause is there, and was resolved before mending")
    held = expected.silent & shown.keys()
    loud = (expected.silent | expected.allowed) & notified.keys() - expected.notified
    why += [f"{alert} must fire in Prometheus, and did not" for alert in sorted(expected.silent - shown.keys())]
    why += [f"{alert} must be held back, and was notified: one cause pages once" for alert in sorted(loud)]
    why += [f"{alert} must go after mending, and did not" for alert in sorted(held) if shown[alert].gone is None]
    ends = [episode.gone for episode in came.values() if episode.gone is not None]
    whole = expected.notified <= came.keys()
    return Verdict(
        fired=names(came),
        held_back=names(held),
        fire_s=round(max(one.fired for one in came.values()) - times.begun, 1) if came and whole else None,
        resolve_s=round(max(0.0, max(ends) - times.mended), 1) if ends and whole and len(ends) == len(came) else None,
        why=tuple(why),
    )


def strangers(expected: Sequence[Expected], notified: Seen, shown: Seen) -> list[str]:
    """Sentences about what nothing of a phase accounts for."""
    known: set[Alert] = set()
    for one in expected:
        known |= one.notified | one.silent | one.allowed
    loud = sorted(notified.keys() - known)
    quiet = sorted(shown.keys() - known - notified.keys())
    return [
        *(f"{alert} must not be notified, since nothing that was done causes it, and was" for alert in loud),
        *(f"{alert} must not fire, since nothing that was done causes it, and Prometheus showed it" for alert in quiet),
    ]
