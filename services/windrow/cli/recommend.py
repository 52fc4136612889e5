"""`windrow recommend`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from windrow.cli import printing
from windrow.cli.printing import seconds
from windrow.cli.target import Target, about_a_platform

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from windrow.scaling.recommend import Advice, Recommendation, Seen


@click.command()
@click.argument("names", metavar="[QUEUE]...", nargs=-1)
@click.option("--days", type=click.IntRange(1, 365), default=7, show_default=True, help="Of executions so many days old.")
@click.option("--cpus", type=click.FloatRange(0.1, 256), default=1.0, show_default=True, help="Cores that a worker may use.")
@click.option("--memory", metavar="AMOUNT", help="The most memory that a worker may have, such as 2Gi.")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print QueueWorkers with what is recommended.")
@about_a_platform
def recommend(
    target: Target, as_json: bool, names: tuple[str, ...], days: int, cpus: float, memory: str | None, as_yaml: bool
) -> None:
    """Concurrency, memory and time limits for each QUEUE (or all), from what its attempts on record have used."""
    from windrow.queues.quantities import parse_memory
    from windrow.records.usage import usage
    from windrow.scaling.recommend import Budget
    from windrow.scaling.recommend import recommend as decide

    if as_json and as_yaml:
        raise click.UsageError("what is printed must be --json or --yaml, not both")
    try:
        most = None if memory is None else parse_memory(memory)
    except ValueError as error:
        raise click.UsageError(f"--memory {error}, not {memory!r}") from error
    queues = [target.queue_of(name) if target.queues else name for name in names]
    since = datetime.now(UTC) - timedelta(days=days)

    async def ask(connection: AsyncConnection) -> list[Seen]:
        return await usage(connection, since, queues)

    found = {seen.queue: decide(seen, Budget(cpus, most)) for seen in target.read(ask)}
    for queue in queues:
        if queue not in found:
            raise click.ClickException(
                f"QUEUE must have attempts on record in the last {days} days, and {queue!r} has none; --days looks further back"
            )
    if as_json:
        printing.as_json([_as_json(one) for one in found.values()])
    elif as_yaml:
        click.echo("---\n".join(_as_yaml(one, days) for one in found.values()), nl=False)
    elif not found:
        click.echo(f"no attempt of the last {days} days is on record; --days looks further back")
    else:
        for one in found.values():
            _tell(one, days)


def _as_json(one: Recommendation) -> dict[str, Any]:
    return {**asdict(one.seen), "advice": [asdict(advice) for advice in one.advice], "sentence": one.sentence}


def _as_yaml(one: Recommendation, days: int) -> str:
    """A QueueWorker that holds nothing but what is recommended, each with its reason; a comment where nothing is."""
    from windrow.queues.defaults import name_of

    seen = one.seen
    head = f"# {seen.queue}: {_count(seen.attempts, 'attempt')} in {_count(days, 'day')}\n"
    if not one.advice:
        return f"{head}# {one.sentence}\n"
    lines = ["apiVersion: windrow.dev/v1alpha1", "kind: QueueWorker", f"metadata: {{name: {name_of(seen.queue)}}}", "spec:"]
    lines.append(f"  queue: {json.dumps(seen.queue)}")
    standing: list[str] = []
    for advice in sorted(one.advice, key=lambda advice: advice.key):
        *folders, key = advice.key.split(".")
        same = 0
        while same < min(len(folders), len(standing)) and folders[same] == standing[same]:
            same += 1
        lines += [f"{'  ' * (depth + 1)}{folders[depth]}:" for depth in range(same, len(folders))]
        standing = folders
        lines.append(f"{'  ' * (len(folders) + 1)}{key}: {advice.value}  # {advice.reason}")
    return head + "\n".join(lines) + "\n"


def _tell(one: Recommendation, days: int) -> None:
    seen = one.seen
    head = f"{seen.queue}: {_count(seen.attempts, 'attempt')} in {_count(days, 'day')}"
    for number, what in ((seen.timed_out, "timed out"), (seen.killed, "killed")):
        head += f", {number} {what}" if number else ""
    click.echo(head)
    times = (("p50", seen.run_p50), ("p95", seen.run_p95), ("p99", seen.run_p99), ("max", seen.run_max))
    click.echo("  run time     " + "  ".join(f"{name} {seconds(value)}" for name, value in times))
    sizes = (("p50", seen.peak_p50), ("p99", seen.peak_p99), ("max", seen.peak_max))
    click.echo("  peak memory  " + "  ".join(f"{name} {_mib(value)}" for name, value in sizes))
    busy = "–" if seen.busy is None else f"{seen.busy:.0%} of the run time"
    where = "one at a time" if seen.at_once == 1 else f"{seen.at_once} at once"
    if seen.at_once > 1:
        where += " in one process" if seen.shared else ", each in a process of its own"
    click.echo(f"  computing    {busy}; a worker was seen to run {where}")
    if one.sentence is not None:
        click.echo(f"  {one.sentence}")
    for advice in one.advice:
        click.echo(_line(advice))


def _line(advice: Advice) -> str:
    return f"  → {advice.key:34}  {advice.value!s:>7}  {advice.reason}"


def _mib(value: int | None) -> str:
    return "–" if value is None else f"{math.ceil(value / (1 << 20))}Mi"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
