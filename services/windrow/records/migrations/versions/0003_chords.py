"""How often an execution's task was replaced."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = ("ALTER TABLE windrow.executions ADD COLUMN replacements INTEGER DEFAULT 0 NOT NULL",)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
