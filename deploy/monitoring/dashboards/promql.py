"""The pieces that queries of Prometheus share."""

from __future__ import annotations

from windrow.metrics.catalogue import BY_NAME


def counted(metric: str, matchers: str, *by: str) -> str:
    """How far one of the leader's counters came in the time shown, summed by labels.

    It is read over all servers first: one that leads again after another would count what that one has counted meanwhile.
    Raises KeyError for a metric that is not in the catalogue.
    """
    kept = ", ".join(("installation", *BY_NAME[metric].labels))
    grown = f"increase(max by ({kept}) ({metric}{{{matchers}}})[$__range:30s])"
    return f"sum by ({', '.join(by)}) ({grown})" if by else f"sum({grown})"


def share(part: str, whole: str) -> str:
    """One figure as a part of another; nothing where the other is 0."""
    return f"{part} / ({whole} > 0)"
