"""The Kubernetes operator: one Deployment for each QueueWorker, sized to what its queue holds.

Observe → plan (pure) → apply. `handlers` (kopf, thin) put what the API server says into `watched`; `reconciler` keeps owned
objects as `render` says, `scaler` keeps their size as `windrow.scaling` and `sizing` say; both write through `cluster`, and
only while `lease` says that this process leads. What decides something (`render`, `sizing`, `conditions`, `status`) is pure.
"""
