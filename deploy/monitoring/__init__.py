"""What watches Windrow: recording rules, alerts, inhibition, dashboards and runbooks, as code.

`python -m deploy.monitoring` writes the files that Prometheus, Alertmanager and Grafana read; a test fails when they are stale.
Decisions stand in `alerts`, `recording` and `inhibition` as data; `rules` and `configuration` only write them down.
"""
