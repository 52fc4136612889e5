"""Runs migrations on the connection that `windrow.records.migrate` hands over."""

from alembic import context

from windrow.records.migrate import VERSION_TABLE
from windrow.records.tables import SCHEMA, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
    include_schemas=True,
)
context.run_migrations()
