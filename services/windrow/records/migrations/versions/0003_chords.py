"""How often an execution's task was replaced; chords that have begun and not ended, with the parts that were counted."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    "ALTER TABLE windrow.executions ADD COLUMN replacements INTEGER DEFAULT 0 NOT NULL",
    """
    CREATE TABLE windrow.chords (
      group_id TEXT NOT NULL,
      run TEXT NOT NULL,
      size INTEGER,
      expires_s INTEGER NOT NULL,
      header TEXT,
      body TEXT,
      begun_at TIMESTAMP WITH TIME ZONE,
      PRIMARY KEY (group_id, run)
    )
    """,
    """
    CREATE TABLE windrow.chord_parts (
      group_id TEXT NOT NULL,
      run TEXT NOT NULL,
      who TEXT NOT NULL,
      place TEXT NOT NULL,
      ordered BOOLEAN NOT NULL,
      part TEXT,
      PRIMARY KEY (group_id, run, who)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
