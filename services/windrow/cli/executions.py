"""`windrow executions` and `windrow show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from windrow.cli import printing
from windrow.cli.printing import moment, seconds, text
from windrow.cli.refusal import refusing
from windrow.cli.target import Target, about_a_platform

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_SHOWN = (
    "queue", "task", "state", "task_id", "external_id", "accepted_at", "due_at", "started_at", "finished_at", "wait_s", "run_s",
    "retries", "recoveries", "attempts", "worker", "args", "kwargs", "result", "reason", "error", "error_message", "redo_of",
    "progress_state", "progress", "trace_id",
)  # fmt: skip


@click.command()
@click.option("-q", "--queue", help="Only those of this queue.")
@click.option("-t", "--task", help="Only those of this task.")
@click.option("--only", metavar="STATE", help="Only those in this state: ready, running, failed, …")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@about_a_platform
def executions(target: Target, as_json: bool, queue: str | None, task: str | None, only: str | None, limit: int) -> None:
    """The newest executions on record, the newest first."""
    from windrow.records import repository

    async def ask(connection: AsyncConnection) -> list[dict[str, Any]]:
        return await repository.list_executions(connection, queue=queue, state=only, task=task, limit=limit)

    with refusing(ValueError):
        rows = target.read(ask)
    if as_json:
        printing.as_json(rows)
        return
    printing.table(
        [
            ("ID", "ACCEPTED", "QUEUE", "TASK", "STATE", "WAIT", "RUN", "RETRIES", "ERROR"),
            *(
                (
                    str(row["id"]),
                    moment(row["accepted_at"]),
                    row["queue"],
                    row["task"],
                    row["state"],
                    seconds(row["wait_s"]),
                    seconds(row["run_s"]),
                    str(row["retries"]),
                    text(row["error_message"] or row["error"] or row["reason"], 40),
                )
                for row in rows
            ),
        ]
    )


@click.command()
@click.argument("id_", metavar="ID")
@about_a_platform
def show(target: Target, as_json: bool, id_: str) -> None:
    """One execution by its id, its execution_id argument or its Celery task id: states, attempts, reports."""
    row = find(target, id_)
    if as_json:
        printing.as_json(row)
        return
    click.echo(f"execution {row['id']}")
    for name in _SHOWN:
        value = row.get(name)
        if value is not None:
            click.echo(f"  {name.removesuffix('_at').removesuffix('_s').replace('_', ' '):14} {_said(name, value)}")
    for number, attempt in enumerate(row["attempts_made"], start=1):
        click.echo(
            f"  attempt {number}: {attempt['outcome'] or 'running'}, started {moment(attempt['started_at'])}, "
            f"ran {seconds(attempt['run_s'])} on {attempt['worker'] or '–'}"
            + (f", peak {attempt['peak_bytes'] / 2**20:.0f}Mi" if attempt.get("peak_bytes") else "")
            + (f" (Windrow {attempt['version']})" if attempt.get("version") else "")
        )
        if attempt["error"]:
            click.echo(f"    {attempt['error']}: {text(attempt['message'], 200)}")
        if attempt["traceback"]:
            click.echo("".join(f"    {line}\n" for line in attempt["traceback"].rstrip().splitlines()), nl=False)
        if attempt["log_bytes"]:
            click.echo(f"    it logged {attempt['log_bytes']} bytes: windrow logs --execution {row['id']}")
    for report in row["reports"]:
        summary = report["result_summary"] or report["error_message"]
        click.echo(f"  report: {report['state']}, {report['duration_ms']} ms: {text(summary, 200)}")


def _said(name: str, value: Any) -> str:
    if name.endswith("_at"):
        return moment(value)
    return seconds(value) if name.endswith("_s") else str(value)


def find(target: Target, name: str) -> dict[str, Any]:
    """An execution with its attempts and reports; refuses a name that is on no record."""
    from windrow.records import repository

    async def ask(connection: AsyncConnection) -> dict[str, Any] | None:
        row = await repository.get_execution(connection, name)
        if row is not None:
            row["attempts_made"] = await repository.attempts(connection, row["id"])
            row["reports"] = await repository.reports(connection, row["id"])
        return row

    row = target.read(ask)
    if row is None:
        raise click.ClickException(
            f"ID must be an execution's id, execution_id argument or task id that is on record, not {name!r}; "
            "`windrow executions` lists them"
        )
    return row
