"""`windrow logs`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from windrow.cli.target import find_target, json_option, state_option


@click.command()
@click.argument("queue")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is logged from now on, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(0), default=20, show_default=True, help="Last lines of each process.")
@json_option
@state_option
def logs(queue: str, follow: bool, lines: int, as_json: bool, state: Path | None) -> None:
    """What the workers of QUEUE (or of a QueueWorker's name) logged.

    `server`, `supervisor`, `redis` and `postgres` in place of QUEUE show what those logged.
    """
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


def _is_worker_of(path: Path, name: str) -> bool:
    return path.stem.removeprefix(f"worker-{name}-").isdigit()
