"""docs/metrics.md, made from the catalogue."""

from __future__ import annotations

from typing import Final

from windrow.metrics.catalogue import CATALOGUE, OUTCOMES, SERVER_TASKS, WORKER_TASKS, Exporter, Metric, exported_by

COMMAND: Final = "python -m windrow.metrics > docs/metrics.md"

_HEAD: Final = f"""# Metrics

<!-- Made by `{COMMAND}`; change services/windrow/metrics/catalogue.py instead. -->

Every metric, by who exports it. Two sources, which answer two questions:

- **exact**: counted in PostgreSQL in the same transaction as the records, exported by the leading server. They survive every
  restart, each execution and each attempt counts once, and they equal what SQL counts over the records (those that retention
  has removed stay counted; the chaos suite compares both after each fault). Rest alerts on these.
- **live**: the state right now, or what one process has seen since it started. A worker that is killed may take the last
  scrape interval with it. Good for dashboards, latencies and what happens this second.

No label names a pod, a worker or an execution. Series of a task stand at zero before its first event: on a worker from its
start, on the server from the task's first acceptance. Each queue that is known stands at zero through task `other` (failures:
error `other`), so that what comes first is seen to come. A worker names up to {WORKER_TASKS} tasks, a server up to
{SERVER_TASKS:,} pairs of queue and task, each with eight series; what comes after that is counted under `other`, so sums
stay right. [metrics-cost.md](metrics-cost.md) has what scrapes take and cost.

The server answers `GET /sd` with every live metrics port in Prometheus' `http_sd` form:

```yaml
scrape_configs:
  - job_name: windrow
    http_sd_configs: [{{url: "http://127.0.0.1:8080/sd", refresh_interval: 5s}}]
    relabel_configs:
      - {{source_labels: [__meta_windrow_role], target_label: role}}
```
"""

_SECTIONS: Final[tuple[tuple[Exporter, str, str], ...]] = (
    ("leader", "The leading server", "Of several servers only the leader exports these: sum over all, or read the one."),
    ("server", "Every server", "Each server exports this for itself."),
    ("worker", "Each worker", f"Each worker exports these for itself. Outcomes: {', '.join(f'`{o}`' for o in OUTCOMES)}."),
    (
        "operator",
        "Each operator",
        "Each operator process exports these at its own `/metrics`; those that wait for the Lease count little.",
    ),
)


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD]
    for exporter, title, note in _SECTIONS:
        parts.append(
            f"\n## {title}\n\n{note}\n\n| metric | type | labels | unit | source | meaning |\n|---|---|---|---|---|---|\n"
        )
        parts += [_line(metric) for metric in exported_by(exporter)]
    for exporter, whose in (("worker", "a worker's"), ("operator", "an operator's")):
        buckets = next(metric.buckets for metric in CATALOGUE if metric.exporter == exporter and metric.buckets)
        parts.append(f"\nBuckets of {whose} histograms, in seconds: {', '.join(f'{bound:g}' for bound in buckets)}.\n")
    return "".join(parts)


def _line(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    return (
        f"| `{metric.name}` | {metric.kind} | {labels} | {metric.unit} | {metric.source} | "
        f"{metric.meaning} Counted: {metric.counted}. |\n"
    )
