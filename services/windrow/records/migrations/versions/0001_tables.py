"""The first tables of schema `windrow`."""

from alembic import op

revision = "0001"
down_revision = None

STATUSES = (
    (1, "ready"),
    (2, "delayed"),
    (3, "running"),
    (4, "retrying"),
    (5, "success"),
    (6, "failed"),
    (7, "timed_out"),
    (8, "lost"),
    (9, "expired"),
    (10, "cancelled"),
    (11, "rejected"),
)

STATEMENTS = (
    """
    CREATE TABLE windrow.attempts (
      execution_id UUID NOT NULL,
      id UUID NOT NULL,
      queue TEXT NOT NULL,
      task TEXT NOT NULL,
      worker TEXT,
      pid INTEGER,
      retries INTEGER DEFAULT 0 NOT NULL,
      recoveries INTEGER DEFAULT 0 NOT NULL,
      started_at TIMESTAMP WITH TIME ZONE,
      ended_at TIMESTAMP WITH TIME ZONE,
      outcome TEXT,
      wait_s FLOAT,
      run_s FLOAT,
      error TEXT,
      message TEXT,
      traceback TEXT,
      PRIMARY KEY (execution_id, id)
    ) PARTITION BY RANGE (execution_id)
    """,
    """
    CREATE TABLE windrow.execution_keys (
      kind SMALLINT NOT NULL,
      key TEXT NOT NULL,
      execution_id UUID NOT NULL,
      PRIMARY KEY (kind, key)
    )
    """,
    """
    CREATE INDEX ix_execution_keys_execution_id ON windrow.execution_keys (execution_id)
    """,
    """
    CREATE TABLE windrow.execution_reports (
      execution_id UUID NOT NULL,
      attempt_id UUID DEFAULT '00000000-0000-0000-0000-000000000000' NOT NULL,
      completed_at TIMESTAMP WITH TIME ZONE,
      duration_ms BIGINT,
      status_id SMALLINT,
      result_summary TEXT,
      error_message TEXT,
      reported_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
      PRIMARY KEY (execution_id, attempt_id)
    ) PARTITION BY RANGE (execution_id)
    """,
    """
    CREATE TABLE windrow.execution_statuses (
      id SMALLINT NOT NULL,
      code TEXT NOT NULL,
      PRIMARY KEY (id),
      UNIQUE (code)
    )
    """,
    """
    CREATE TABLE windrow.executions (
      id UUID NOT NULL,
      task_id TEXT,
      tag TEXT,
      queue TEXT NOT NULL,
      task TEXT NOT NULL,
      status_id SMALLINT NOT NULL,
      accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
      due_at TIMESTAMP WITH TIME ZONE,
      expires_at TIMESTAMP WITH TIME ZONE,
      started_at TIMESTAMP WITH TIME ZONE,
      finished_at TIMESTAMP WITH TIME ZONE,
      priority SMALLINT,
      retries INTEGER DEFAULT 0 NOT NULL,
      recoveries INTEGER DEFAULT 0 NOT NULL,
      attempt_count INTEGER DEFAULT 0 NOT NULL,
      worker TEXT,
      wait_s FLOAT,
      run_s FLOAT,
      root_id TEXT,
      parent_id TEXT,
      group_id TEXT,
      external_id TEXT,
      redo_of UUID,
      origin TEXT,
      args TEXT,
      kwargs TEXT,
      error TEXT,
      error_message TEXT,
      result TEXT,
      reason TEXT,
      progress_state TEXT,
      progress TEXT,
      progress_at TIMESTAMP WITH TIME ZONE,
      PRIMARY KEY (id)
    ) PARTITION BY RANGE (id)
    """,
    """
    CREATE INDEX ix_executions_external_id ON windrow.executions (external_id) WHERE external_id IS NOT NULL
    """,
    """
    CREATE INDEX ix_executions_task_id ON windrow.executions (task_id)
    """,
    """
    CREATE TABLE windrow.messages (
      execution_id UUID NOT NULL,
      queue TEXT NOT NULL,
      body BYTEA NOT NULL,
      PRIMARY KEY (execution_id)
    ) PARTITION BY RANGE (execution_id)
    """,
    """
    CREATE TABLE windrow.recorder_positions (
      stream TEXT NOT NULL,
      position TEXT NOT NULL,
      PRIMARY KEY (stream)
    )
    """,
    """
    CREATE TABLE windrow.schedules (
      id UUID NOT NULL,
      name TEXT NOT NULL,
      task TEXT NOT NULL,
      queue TEXT,
      args JSONB DEFAULT '[]' NOT NULL,
      kwargs JSONB DEFAULT '{}' NOT NULL,
      cron TEXT,
      every_s FLOAT,
      timezone TEXT DEFAULT 'UTC' NOT NULL,
      enabled BOOLEAN DEFAULT true NOT NULL,
      next_at TIMESTAMP WITH TIME ZONE,
      last_at TIMESTAMP WITH TIME ZONE,
      PRIMARY KEY (id),
      UNIQUE (name)
    )
    """,
    """
    CREATE TABLE windrow.totals (
      kind TEXT NOT NULL,
      queue TEXT NOT NULL,
      task TEXT NOT NULL,
      label TEXT DEFAULT '' NOT NULL,
      value BIGINT NOT NULL,
      PRIMARY KEY (kind, queue, task, label)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    values = ", ".join(f"({number}, '{code}')" for number, code in STATUSES)
    op.execute(f"INSERT INTO windrow.execution_statuses (id, code) VALUES {values}")  # noqa: S608  # constants above
