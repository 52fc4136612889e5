"""What the drill's Prometheus has scraped, compared with the catalogue of metrics: names and labels, both ways."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from tests.drill.stage import Stage
from windrow.metrics.catalogue import CATALOGUE, Metric

ADDED = frozenset({"__name__", "instance", "job", "role", "le"})
"""Labels that Prometheus, its configuration and histograms add."""


def compared(stage: Stage, say: Callable[[str], None], without: Collection[str] = ()) -> dict[str, Any]:
    """Compare all series of the drill; metrics exported by those in `without` need not be there."""
    series = stage.tower.api("series", **{"match[]": '{__name__=~"windrow_[^:]+"}'})
    wrong = differences(series, CATALOGUE, without)
    say(f"{'MISS' if wrong else 'ok  '} {len(series):,} series compared with the catalogue of metrics")
    for sentence in wrong:
        say(f"       {sentence}")
    return {"series": len(series), "wrong": wrong, "met": not wrong}


def differences(series: Iterable[Mapping[str, str]], catalogue: Collection[Metric], without: Collection[str] = ()) -> list[str]:
    """Sentences: a metric or a label that the catalogue lacks, a metric of the catalogue that nobody exported."""
    known = {name: metric for metric in catalogue for name in _names(metric)}
    seen: set[str] = set()
    wrong: dict[str, None] = {}
    for one in series:
        metric = known.get(one["__name__"])
        if metric is None:
            wrong[f"{one['__name__']} must be in the catalogue, and is not"] = None
            continue
        seen.add(metric.name)
        if (labels := one.keys() - ADDED) != set(metric.labels):
            wrong[f"{metric.name} must have the labels {sorted(metric.labels)}, and has {sorted(labels)}"] = None
    for metric in catalogue:
        if metric.name not in seen and metric.exporter not in without:
            wrong[f"{metric.name} is in the catalogue, and must have been scraped"] = None
    return sorted(wrong)


def _names(metric: Metric) -> tuple[str, ...]:
    parts = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
    return tuple(metric.name + part for part in parts)
