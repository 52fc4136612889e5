"""The alert drill: each alert is caused for real; what Prometheus and Alertmanager make of it is compared with what must be.

`judge.py` is pure. `stage.py` starts what it runs on, `tower.py` Prometheus and Alertmanager, `desk.py` hears what is notified;
`causes*.py` do harm and mend it, `phases.py` says which harm is done at the same time. docs/drill.md shows a run.
"""
