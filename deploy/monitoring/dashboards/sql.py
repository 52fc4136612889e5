"""Queries of the records: what the SDK has no type for, and the pieces that each statement shares."""

from __future__ import annotations

from textwrap import dedent
from typing import Final

from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

POSTGRES: Final = DataSourceRef(type_val="grafana-postgresql-datasource", uid="${postgres}")
"""The PostgreSQL that the viewer chose."""

EARLIEST: Final = "(lpad(to_hex($__unixEpochFrom()::bigint * 1000), 12, '0') || repeat('0', 20))::uuid"
"""The lowest id of an execution accepted in the time shown: ids are UUIDv7, and PostgreSQL leaves out earlier partitions."""

LATEST: Final = "(lpad(to_hex($__unixEpochTo()::bigint * 1000), 12, '0') || repeat('f', 20))::uuid"
"""The highest one."""

LIMIT: Final = 100
"""Most rows that a table shows."""


class Sql(variants.Dataquery, Builder[variants.Dataquery]):
    """A statement as Grafana's PostgreSQL data source takes it; its own builder, since nothing is left open."""

    def __init__(self, statement: str, *, ref: str = "A", series: bool = False) -> None:
        """`series`: the column `time` makes lines of the others; else the rows are a table."""
        self.statement = dedent(statement).strip()
        self.ref = ref
        self.series = series

    def build(self) -> variants.Dataquery:
        """Itself."""
        return self

    def to_json(self) -> dict[str, object]:
        """What stands in a panel's targets."""
        return {
            "refId": self.ref,
            "datasource": POSTGRES,
            "editorMode": "code",
            "format": "time_series" if self.series else "table",
            "rawQuery": True,
            "rawSql": self.statement,
        }


def accepted_in_time(column: str) -> str:
    """The condition that an execution, by the column with its id, was accepted in the time shown."""
    return f"{column} BETWEEN {EARLIEST} AND {LATEST}"


def moment(column: str) -> str:
    """The step of a chart that a time falls into."""
    return f'to_timestamp(floor(extract(epoch FROM {column}) * 1000 / $__interval_ms) * $__interval_ms / 1000) AS "time"'
