"""What it costs to be watched: scrapes of a worker and of a large server, and CPU for metrics, logs and records.

`python -m benchmarks.metrics` measures, writes `build/metrics.json`; `python -m benchmarks.docs` puts it into
docs/metrics-cost.md.
"""
