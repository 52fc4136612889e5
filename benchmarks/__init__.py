"""What Windrow costs and gains, beside bare Celery in the same run: `make bench`, or `python -m benchmarks --help`.

Both sides take turns on one Redis with the same slots; only figures of one run are compared: machines differ and drift.
"""
