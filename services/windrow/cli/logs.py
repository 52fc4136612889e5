"""`windrow logs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from windrow.cli import printing
from windrow.cli.executions import find
from windrow.cli.printing import moment
from windrow.cli.target import Target, find_target, json_option, state_option

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


@click.command()
@click.argument("queue", required=False)
@click.option(
    "--execution", metavar="ID", help="What each attempt of this execution logged: its id, execution_id argument or task id."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is logged from now on, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(0), default=20, show_default=True, help="Last lines of each process.")
@json_option
@state_option
def logs(queue: str | None, execution: str | None, follow: bool, lines: int, as_json: bool, state: Path | None) -> None:
    """What the workers of QUEUE (or of a QueueWorker's name) logged; with --execution, what is on record of one execution.

    `server`, `supervisor`, `redis` and `postgres` in place of QUEUE show what those logged.
    """
    if (queue is None) == (execution is None):
        raise click.UsageError("one of QUEUE and --execution ID must be given: whose log is asked for")
    if execution is not None:
        if follow:
            raise click.UsageError(
                "--follow must be left out with --execution: an attempt's log is on record when it has ended"
            )
        _of_execution(find_target(state), execution, as_json)
        return
    assert queue is not None  # noqa: S101 - one of both is given
    from windrow.local.logs import follow as follow_files
    from windrow.local.logs import tail

    target = find_target(state)
    folder = target.state_dir / "logs"
    if not folder.is_dir():
        raise click.ClickException(
            f"the state folder {str(target.state_dir)!r} must hold the logs of a platform, and there are none; "
            "start one with `windrow up`, or name its folder with --state"
        )
    names = {name for name, served in target.queues.items() if queue in (name, served)} or {queue, queue.replace("_", "-")}

    def find() -> list[Path]:
        found = {path for name in names for path in folder.glob(f"worker-{name}-*.log") if _is_worker_of(path, name)}
        single = folder / f"{queue}.log"
        return sorted(found | ({single} if single.exists() else set()))

    def tell(path: Path, line: str) -> None:
        click.echo(json.dumps({"process": path.stem, "line": line}) if as_json else f"{path.stem} | {line}")

    if not find() and not follow:
        raise click.ClickException(f"QUEUE must be one whose workers have logged in {str(folder)!r}, not {queue!r}")
    for path in find():
        for line in tail(path, lines):
            tell(path, line)
    if follow:
        for path, line in follow_files(find):
            tell(path, line)


def _of_execution(target: Target, name: str, as_json: bool) -> None:
    from windrow.records import repository

    row = find(target, name)

    async def ask(connection: AsyncConnection) -> list[dict[str, Any]]:
        return await repository.logs(connection, row["id"])

    attempts = target.read(ask)
    if as_json:
        printing.as_json(attempts)
        return
    if not any(attempt["log"] for attempt in attempts):
        raise click.ClickException(_why_none(row, attempts))
    for number, attempt in enumerate(attempts, start=1):
        click.echo(
            f"attempt {number} {attempt['id']}: {attempt['outcome'] or 'running'}, started {moment(attempt['started_at'])} "
            f"on {attempt['worker'] or '–'}" + ("" if attempt["log"] else "; no log is kept")
        )
        if attempt["log"]:
            click.echo("".join(f"  {line}\n" for line in attempt["log"].splitlines()), nl=False)


def _why_none(row: dict[str, Any], attempts: list[dict[str, Any]]) -> str:
    if not attempts:
        return f"execution {row['id']} must have been attempted to have a log, and is {row['state']}"
    if not any(attempt["outcome"] for attempt in attempts):
        return f"the attempt of execution {row['id']} must have ended for its log to be on record, and it is running"
    return (
        f"execution {row['id']} must have logged something that is kept, and nothing is: it logged nothing, its task redacts "
        "or says `keep_log=False`, or its log was dropped while the records were behind"
    )


def _is_worker_of(path: Path, name: str) -> bool:
    return path.stem.removeprefix(f"worker-{name}-").isdigit()
