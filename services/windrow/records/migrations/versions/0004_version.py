"""Which release of Windrow ran an attempt."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # Its partitions get it too; without a default nothing is written anew.
    op.execute("ALTER TABLE windrow.attempts ADD COLUMN version TEXT")
