"""Executions in PostgreSQL: tables, migrations, partitions, the recorder that turns events into rows, repositories, retention."""
