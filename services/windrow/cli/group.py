"""The group of commands: their names and one line for each, and where each one lives."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import cast

import click

REFUSED = 2
INTERRUPTED = 130

# Name, home of the click command, what `windrow --help` says of it: the order is that of a first acquaintance.
_COMMANDS = (
    ("up", "windrow.cli.up:up", "Run the whole platform on this machine until Ctrl-C."),
    ("demo", "windrow.cli.demo:demo", "Run the platform under real arrivals, replayed."),
    ("status", "windrow.cli.status:status", "What each queue holds, who works on it, and why so many."),
    ("executions", "windrow.cli.executions:executions", "The newest executions on record."),
    ("show", "windrow.cli.executions:show", "One execution: its states, attempts and reports."),
    ("logs", "windrow.cli.logs:logs", "What the workers of a queue logged."),
    ("call", "windrow.cli.call:call", "Call a task by its name."),
    ("retry", "windrow.cli.redo:retry", "Run an execution again, as a new one that names the old."),
    ("cancel", "windrow.cli.redo:cancel", "Cancel an execution: delayed, ready or running."),
    ("pause", "windrow.cli.queues:pause", "Take nothing more from a queue; running tasks finish."),
    ("release", "windrow.cli.queues:release", "Undo pause and scale: the queue is the autoscaler's again."),
    ("scale", "windrow.cli.queues:scale", "Fix a queue's number of workers until release."),
    ("purge", "windrow.cli.queues:purge", "Cancel every ready and delayed task of a queue."),
    ("recommend", "windrow.cli.recommend:recommend", "Concurrency, memory and limits, from what is on record."),
    ("worker", "windrow.cli.worker:worker", "Serve one queue in the foreground."),
    ("server", "windrow.cli.server:server", "Run the service process: recorder, recovery, API, metrics."),
    ("operator", "windrow.cli.operator:operator", "Run the Kubernetes operator."),
    ("migrate", "windrow.cli.migrate:migrate", "Bring the database's tables to this release."),
)


class _LazyGroup(click.Group):
    """Commands are imported when they are run; their one line of help stands here."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, _, _ in _COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for name, home, _ in _COMMANDS:
            if name == cmd_name:
                module, _, attribute = home.partition(":")
                return cast(click.Command, getattr(import_module(module), attribute))
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, _, text in _COMMANDS])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="windrow", prog_name="windrow", message="%(prog)s %(version)s")
def cli() -> None:
    """Windrow: Celery tasks on workers that follow their queues, every execution on record."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line; returns the exit code. A mistake of the user's is one sentence on standard error, and 2."""
    try:
        code = cli.main(list(arguments), prog_name="windrow", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0 if not arguments else REFUSED
    except click.ClickException as error:
        click.echo(error.format_message(), err=True)
        return REFUSED
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # `windrow executions | head`
        return 0
    return int(code or 0)
