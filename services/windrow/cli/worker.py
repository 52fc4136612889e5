"""`windrow worker`."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import click

from windrow.cli.refusal import one_line, refusing
from windrow.cli.target import find_target, state_option
from windrow.queues import QueueWorker, Source, SpecError, default_specs, from_flags, load_specs, parse_specs
from windrow.settings import Settings


@click.command()
@click.argument("name", required=False)
@click.option("-f", "--file", type=click.Path(path_type=Path), help="The windrow.yaml that NAME stands in.")
@click.option("-A", "--app", help="Serve a queue of this Celery app (module:name) without a windrow.yaml.")
@click.option("-Q", "--queue", help="The queue to serve, with -A.")
@click.option("-c", "--concurrency", type=click.IntRange(1, 1000), help="Slots, with -A.  [default: 2]")
@click.option("-P", "--pool", help="prefork, asyncio or threads, with -A.  [default: prefork]")
@click.option("--gate", type=click.Path(path_type=Path), hidden=True)
@state_option
def worker(
    name: str | None,
    file: Path | None,
    app: str | None,
    queue: str | None,
    concurrency: int | None,
    pool: str | None,
    gate: Path | None,
    state: Path | None,
) -> int:
    """Serve one queue in the foreground: that of the QueueWorker NAME, or -Q of the app -A.

    Without either: the QueueWorker that the environment variable WINDROW_SPEC holds as JSON.

    SIGTERM or Ctrl-C: running tasks finish, what was taken and not started goes back. A second one: stop at once and give all
    back.
    """
    _be_stoppable()
    target = find_target(state)
    with refusing(ValueError, SpecError):
        settings = replace(Settings.from_env(), redis_url=target.redis_url, key_prefix=target.key_prefix)
        if (name, file, app, queue, concurrency, pool) == (None,) * 6 and settings.spec is not None:
            spec = _from_environment(settings.spec)
        else:
            spec = _spec(name, file or settings.specs, app, queue, concurrency, pool)
    return _run(spec, settings, gate)


def _be_stoppable() -> None:
    """As a container's first process: the kernel drops a signal that nobody handles, and a stop during the start with it."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))


def _from_environment(text: str) -> QueueWorker:
    """The one QueueWorker of WINDROW_SPEC, checked as one of a file is."""
    try:
        specs = parse_specs(text)
    except SpecError as error:
        raise SpecError(error.sentence, "WINDROW_SPEC") from error
    if len(specs) > 1:
        raise SpecError(f"must hold one QueueWorker, not {len(specs)}", "WINDROW_SPEC")
    return specs[0].written_in(Source("WINDROW_SPEC", 0))


def _spec(
    name: str | None, file: Path | None, app: str | None, queue: str | None, concurrency: int | None, pool: str | None
) -> QueueWorker:
    if app is not None or queue is not None:
        if app is None or queue is None or name is not None:
            raise click.UsageError("a worker must be given as NAME (of a QueueWorker), or as -A APP -Q QUEUE, not both")
        return from_flags(app, queue, concurrency or 2, pool or "prefork")
    if name is None:
        raise click.UsageError("a worker must be given as NAME (of a QueueWorker), or as -A APP -Q QUEUE")
    if concurrency is not None:
        raise click.UsageError("-c must come with -A and -Q; a QueueWorker's concurrency stands in its spec")
    if pool is not None:
        raise click.UsageError("-P must come with -A and -Q; a QueueWorker's pool stands in its spec")
    specs = load_specs(file) if file is not None else default_specs()
    for spec in specs:
        if name in (spec.name, spec.spec.queue):
            return spec
    where = str(file) if file is not None else "the default set"
    raise click.ClickException(
        f"NAME must be a QueueWorker of {where} ({', '.join(spec.name for spec in specs)}), not {name!r}"
    )


def _run(spec: QueueWorker, settings: Settings, gate: Path | None) -> int:
    """Serve the queue once the file `gate` is there: a supervisor starts workers while the platform's tables are made."""
    import time

    from windrow.worker.main import load_app, run

    if settings.redis_url is not None:
        # The app's own module may ask for it when it is imported.
        os.environ["REDIS_URL"] = settings.redis_url
    try:
        load_app(spec.spec.app)
    except (ImportError, AttributeError) as error:
        sentence = f"spec.app must be a Celery app that can be imported, not {spec.spec.app!r} ({one_line(error)})"
        raise click.ClickException(str(SpecError.at(spec, "spec.app", sentence))) from error
    while gate is not None and not gate.exists():
        time.sleep(0.02)
    with refusing(ValueError, OSError):
        return run(spec, settings)
