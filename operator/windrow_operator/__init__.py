"""The Kubernetes operator: observe, plan (pure), apply. Its handlers are thin."""
