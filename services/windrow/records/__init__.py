"""Executions in PostgreSQL: tables, migrations, partitions, the recorder that turns events into rows, retention.

Workers hold no connection for records: they append to the event stream, and the recorder writes.
"""
