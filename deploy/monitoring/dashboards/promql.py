"""The pieces that queries of Prometheus share."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.recording import ENDED_BADLY, ENDED_WELL
from windrow.metrics.catalogue import BY_NAME

WELL: Final = f'state="{ENDED_WELL}"'
BADLY: Final = f'state=~"{ENDED_BADLY}"'
"""The final states that spend the success budget."""
EITHER: Final = f'state=~"{ENDED_WELL}|{ENDED_BADLY}"'
"""All that count for it; what was cancelled or rejected is its caller's doing."""


def grown(recorded: str, matchers: str) -> str:
    """How far a recorded sum of an exact counter came in the time shown.

    Exact counters never fall, so that is the highest less the lowest; `increase` would extrapolate to what nobody can count.
    """
    return _between(f"{recorded}{{{matchers}}}[$__range]")


def counted(metric: str, matchers: str, *by: str) -> str:
    """The same of one of the leader's counters, summed by labels.

    It is read over all servers first: one that leads again after another would count what that one has counted meanwhile.
    Raises KeyError for a metric that is not in the catalogue.
    """
    kept = ", ".join(("installation", *BY_NAME[metric].labels))
    figure = _between(f"(max by ({kept}) ({metric}{{{matchers}}}))[$__range:$__interval]")
    return f"sum by ({', '.join(by)}) ({figure})" if by else f"sum({figure})"


def failed(matchers: str, *by: str) -> str:
    """The attempts that ended with an error in the time shown, summed by labels.

    An error's series begins with its first failure, which would not count. It does where its task was known when the time
    began: from nought, since the error was not.
    """
    error = f"max by (installation, queue, task, error) (windrow_failures_total{{{matchers}}}"
    task = f"max by (installation, queue, task) (windrow_attempts_total{{{matchers}}} offset $__range)"
    series = f"({error}))[$__range:$__interval]"
    new = f"max_over_time({series}) unless {error} offset $__range) and on (installation, queue, task) {task}"
    return f"sum by ({', '.join(by)}) (({new}) or ({_between(series)}))"


def share(part: str, whole: str) -> str:
    """One figure as a part of another; nothing where the other is 0."""
    return f"{part} / ({whole} > 0)"


def _between(series: str) -> str:
    return f"max_over_time({series}) - min_over_time({series})"
