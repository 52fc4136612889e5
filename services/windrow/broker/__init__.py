"""Everything Windrow says to Redis: the transport, every key and script, the lease, delays, recovery and depth.

docs/keys-and-events.md is its other half. No PostgreSQL lives here.
"""
