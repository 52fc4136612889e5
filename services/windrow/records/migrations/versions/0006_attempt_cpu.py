"""How much CPU time an attempt used."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # Its partitions get it too; without a default nothing is written anew.
    op.execute("ALTER TABLE windrow.attempts ADD COLUMN cpu_s DOUBLE PRECISION")
