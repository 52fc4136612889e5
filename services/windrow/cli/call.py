"""`windrow call`: send a task from a shell, a pod, or a chart's test."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from windrow.cli import printing
from windrow.cli.refusal import one_line
from windrow.cli.target import Target, about_a_platform
from windrow.queues import DEFAULT_APP
from windrow.queues.quantities import parse_duration

_AGAIN_S = 0.2
"""Between two looks at the records."""


@click.command()
@click.argument("task")
@click.option("-A", "--app", default=DEFAULT_APP, help="The app that knows the task, as module:name.  [default: Windrow's own]")
@click.option("-Q", "--queue", help="The queue; left out, the task's own.")
@click.option("--args", "arguments", default="[]", help="Positional arguments, a JSON list.")
@click.option("--kwargs", "keywords", default="{}", help="Keyword arguments, a JSON object.")
@click.option("--countdown", metavar="DURATION", help="Start no sooner than after this time, such as 5m.")
@click.option("--count", type=click.IntRange(1, 100_000), default=1, help="Call it so often.  [default: 1]")
@click.option("--wait", metavar="DURATION", help="Wait so long for a final state on record; exit 1 unless each is success.")
@about_a_platform
def call(
    target: Target,
    as_json: bool,
    task: str,
    app: str,
    queue: str | None,
    arguments: str,
    keywords: str,
    countdown: str | None,
    count: int,
    wait: str | None,
) -> int:
    """Call a task by its name, and print the task id of each call.

    A task that the app doesn't know needs --queue: nothing else says where it goes.
    """
    positional, named = _read(arguments, list, "--args"), _read(keywords, dict, "--kwargs")
    seconds = {
        name: None if text is None else _duration(name, text) for name, text in (("--countdown", countdown), ("--wait", wait))
    }
    send = _sender(target, app, task, queue)
    try:
        ids = [send(positional, named, seconds["--countdown"]) for _ in range(count)]
    except Exception as error:
        raise click.ClickException(f"the call must be accepted, and is not: {one_line(error)}") from error
    if seconds["--wait"] is None:
        printing.as_json(ids) if as_json else click.echo("\n".join(ids))
        return 0
    states = _finals(target, ids, time.monotonic() + seconds["--wait"])
    if as_json:
        printing.as_json([{"task_id": one, "state": states.get(one)} for one in ids])
    else:
        printing.table([[one, states.get(one) or "not on record"] for one in ids])
    return 0 if all(states.get(one) == "success" for one in ids) else 1


def _read(text: str, kind: type[Any], option: str) -> Any:
    shape = "list" if kind is list else "object"
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise click.ClickException(f"{option} must be a JSON {shape}, not {text!r}")
    return value


def _duration(option: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.ClickException(f"{option} {error}, not {text!r}") from error


def _sender(target: Target, path: str, task: str, queue: str | None) -> Any:
    """What sends one call and gives its task id."""
    import windrow
    from windrow.worker.main import load_app

    if target.redis_url is None:
        raise click.ClickException("REDIS_URL must say where Redis is, or a platform must run on the state folder")
    try:
        found = windrow.install(load_app(path), redis_url=target.redis_url, key_prefix=target.key_prefix)
    except (ImportError, AttributeError, ValueError) as error:
        raise click.ClickException(
            f"--app must be a Celery app that can be imported, not {path!r} ({one_line(error)})"
        ) from error
    found.loader.import_default_modules()
    known = found.tasks.get(task)
    if known is None and queue is None:
        raise click.ClickException(
            f"--queue must say where a task goes that the app {path} doesn't know, and {task!r} is none of its tasks"
        )
    options = {} if queue is None else {"queue": queue}

    def send(positional: list[Any], named: dict[str, Any], countdown: float | None) -> str:
        if known is not None:
            return str(known.apply_async(positional, named, countdown=countdown, **options).id)
        return str(found.send_task(task, positional, named, countdown=countdown, **options).id)

    return send


def _finals(target: Target, ids: list[str], deadline: float) -> dict[str, str]:
    """The state of each on record, once all are final, or at the deadline."""
    from sqlalchemy.ext.asyncio import AsyncConnection

    from windrow.records import repository
    from windrow.records.states import FINALS

    async def ask(connection: AsyncConnection) -> dict[str, str]:
        return await repository.states_of(connection, ids)

    while True:
        states = target.read(ask)
        if time.monotonic() >= deadline or (len(states) == len(ids) and FINALS.issuperset(states.values())):
            return states
        time.sleep(_AGAIN_S)
