"""The outbox; idempotency keys know task ids, attempts whether they were acknowledged early; which Redis was seen last."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE windrow.attempts ADD COLUMN early BOOLEAN",
    """
    CREATE TABLE windrow.brokers (
      stream TEXT NOT NULL,
      run TEXT,
      marker TEXT NOT NULL,
      PRIMARY KEY (stream)
    )
    """,
    "ALTER TABLE windrow.execution_keys ADD COLUMN task_id TEXT",
    """
    CREATE TABLE windrow.outbox (
      execution_id UUID NOT NULL,
      queue TEXT NOT NULL,
      task TEXT NOT NULL,
      task_id TEXT NOT NULL,
      body BYTEA NOT NULL,
      enqueued_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
      published_at TIMESTAMP WITH TIME ZONE,
      PRIMARY KEY (execution_id)
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)
    """,
    "CREATE INDEX ix_outbox_unpublished ON windrow.outbox (execution_id) WHERE published_at IS NULL",
    """
    CREATE FUNCTION windrow.ring_outbox() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('windrow_outbox', ''); RETURN NULL; END $$
    """,
    """
    CREATE TRIGGER ring AFTER INSERT ON windrow.outbox
    FOR EACH ROW WHEN (NEW.published_at IS NULL) EXECUTE FUNCTION windrow.ring_outbox()
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
