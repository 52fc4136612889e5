"""The metric catalogue: each metric's name, type, labels, unit and meaning, declared once; and a worker's figures.

Nothing here knows Redis, PostgreSQL or Celery. `python -m windrow.metrics` prints docs/metrics.md.
"""
