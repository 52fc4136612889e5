"""Other task queues for Python beside Celery and Windrow, for information: `make bench-peers`, or
`python -m benchmarks.peers --help`.

Each peer runs as its own documentation would have it run for this work, on the same Redis or PostgreSQL, from a venv of its own
(`build/peers-venv`): no peer is a dependency of the project. `*_tasks.py` are imported by the peers' own Python and may import
nothing but the peer, the standard library and `benchmarks.peers.work`.
"""
