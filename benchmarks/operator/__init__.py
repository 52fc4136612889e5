"""The operator on a real API server: how soon it scales, whom it never removes, what it costs. `make bench-operator` runs it.

The plane and the played workers are those of tests/cluster; the operator is the real process, Redis a real one.
"""
