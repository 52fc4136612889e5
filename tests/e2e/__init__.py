"""`make e2e`: Windrow as its users get it, on a real cluster: image from the Dockerfile, chart by helm, and a day's faults.

Evidence comes from the bodies of tasks, which tell a pod of the tests' own when they start and end (`evidence`); `judge`
counts from that and from the records, and never asks Windrow's own accounts alone. Rows are played in the order of `rows.ROWS`.
"""
