"""Printing rows for people and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import click


def as_json(value: Any) -> None:
    """Print one JSON value."""
    click.echo(json.dumps(value, default=_plain, indent=1))


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, the first row as their heads."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip())


def moment(value: datetime | None) -> str:
    """A time in the terminal's zone; `–` for none."""
    return "–" if value is None else value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds(value: float | None) -> str:
    """A duration in seconds; `–` for none."""
    return "–" if value is None else f"{value:.3f}s"


def text(value: object, width: int = 60) -> str:
    """A value on one line, at most `width` long; `–` for none."""
    if value is None:
        return "–"
    line = " ".join(str(value).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError(f"must be JSON, not {type(value).__name__}")
