"""What an attempt logged, the most memory its process held, its CPU time; the trace an execution belongs to."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # Their partitions get them too; without a default nothing is written anew.
    op.execute(
        "ALTER TABLE windrow.attempts ADD COLUMN peak_bytes BIGINT, ADD COLUMN cpu_s DOUBLE PRECISION, ADD COLUMN log TEXT"
    )
    op.execute("ALTER TABLE windrow.executions ADD COLUMN trace_id TEXT")
