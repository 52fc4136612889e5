"""`windrow retry` and `windrow cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from windrow.cli import printing
from windrow.cli.executions import find
from windrow.cli.target import Target, about_a_platform

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from windrow.broker.client import Client

REASON = "cancelled by hand"


@click.command()
@click.argument("id_", metavar="ID")
@about_a_platform
def retry(target: Target, as_json: bool, id_: str) -> None:
    """Run an execution again: a new execution on the same queue, with the same arguments, that names the old one."""
    from windrow.broker import admin
    from windrow.records import repository, states

    row = find(target, id_)
    if row["state"] not in states.FINALS:
        raise click.ClickException(
            f"execution {row['id']} must have ended before it can be run again, and is {row['state']}; `windrow cancel` ends it"
        )

    async def ask(connection: AsyncConnection) -> bytes | None:
        return await repository.message(connection, row["id"])

    kept = target.read(ask)
    if kept is None:
        raise click.ClickException(
            f"the message of execution {row['id']} must be kept to run it again, and it is not "
            "(redaction forbade it, or its time is up)"
        )
    made = admin.republish(target.client(), row["queue"], kept, redo_of=str(row["id"]))
    if as_json:
        printing.as_json({"id": made, "redo_of": row["id"], "queue": row["queue"], "task": row["task"]})
    else:
        click.echo(f"{made} runs {row['task']} on {row['queue']} again")


@click.command()
@click.argument("id_", metavar="ID")
@about_a_platform
def cancel(target: Target, as_json: bool, id_: str) -> None:
    """Cancel an execution: a delayed one is taken out, a ready one is not started, a running one is ended."""
    from windrow.records import states

    row = find(target, id_)
    if row["state"] in states.FINALS:
        raise click.ClickException(f"execution {row['id']} must not have ended to be cancelled, and is {row['state']}")
    done = _cancel(target, target.client(), row)
    if as_json:
        printing.as_json({"id": row["id"], "was": row["state"], "done": done})
    else:
        click.echo(f"{row['id']} was {row['state']}: {done}")


def _cancel(target: Target, client: Client, row: dict[str, Any]) -> str:
    from windrow.broker import admin

    names = [row["task_id"], f"{row['task_id']}\n{row['tag']}", row["tag"]]
    taken_out: list[bytes] = []
    if row["state"] in ("delayed", "retrying"):
        taken_out = admin.cancel_delayed(client, [row["queue"]], filter(None, names), REASON, execution=str(row["id"]))
    if not taken_out and row["state"] != "running":
        taken_out = admin.revoke(client, [row["task_id"]], REASON)
        if not taken_out:
            return "revoked: it ends as cancelled when a worker takes it"
    control = _control(target)
    if taken_out:
        for message in taken_out:
            control.tell_waiting(message)
        return "taken out"
    control.revoke(row["task_id"], terminate=True, signal="SIGTERM")
    return "revoked: its worker was told to end it"


def _control(target: Target) -> Any:
    from celery import Celery

    from windrow.authoring.install import install

    return install(Celery("windrow"), target.redis_url, target.key_prefix).control
