"""`windrow pause`, `release`, `scale` and `purge`: what a person decides about a queue."""

from __future__ import annotations

import click

from windrow.cli import printing
from windrow.cli.cluster import ClusterTarget, also_on_a_cluster
from windrow.cli.target import Target, about_a_platform


@click.command()
@click.argument("name")
@also_on_a_cluster
@about_a_platform
def pause(target: Target, cluster: ClusterTarget | None, as_json: bool, name: str) -> None:
    """Take nothing more from the queue of QueueWorker NAME; running tasks finish, new ones are kept."""
    if cluster is not None:
        namespace, queue = _change(cluster, name, paused=True)
        sentence = f"{queue} is paused; `windrow release {name} -n {namespace}` lets it go on"
        _tell(as_json, {"queue": queue, "namespace": namespace, "paused": True}, sentence)
        return
    from windrow.broker import admin

    queue = target.queue_of(name)
    admin.pause(target.client(), queue)
    _tell(as_json, {"queue": queue, "paused": True}, f"{queue} is paused; `windrow release {name}` lets it go on")


@click.command()
@click.argument("name")
@also_on_a_cluster
@about_a_platform
def release(target: Target, cluster: ClusterTarget | None, as_json: bool, name: str) -> None:
    """Undo `pause` and `scale` of QueueWorker NAME: its queue is taken from, and its workers follow it again.

    On a cluster: spec.replicas (what `kubectl scale` writes) and spec.paused are removed. What was said without -n stands in
    Redis; it is undone too when REDIS_URL says where that is.
    """
    from windrow.broker import admin

    told: dict[str, object] = {"paused": False, "pinned": None}
    if cluster is not None:
        told["namespace"], queue = _change(cluster, name, replicas=None, paused=None)
    else:
        queue = target.queue_of(name)
    if cluster is None or target.redis_url is not None:
        admin.release(target.client(), queue)
    _tell(as_json, {"queue": queue, **told}, f"{queue} is the autoscaler's again")


@click.command()
@click.argument("name")
@click.argument("replicas", metavar="N", type=click.IntRange(0, 10_000))
@also_on_a_cluster
@about_a_platform
def scale(target: Target, cluster: ClusterTarget | None, as_json: bool, name: str, replicas: int) -> None:
    """Fix the number of workers of QueueWorker NAME at N, also outside its bounds, until `windrow release NAME`."""
    if cluster is not None:
        namespace, queue = _change(cluster, name, replicas=replicas)
        sentence = f"{queue} has {replicas} workers until `windrow release {name} -n {namespace}`"
        _tell(as_json, {"queue": queue, "namespace": namespace, "pinned": replicas}, sentence)
        return
    from windrow.broker import admin

    queue = target.queue_of(name)
    admin.pin(target.client(), queue, replicas)
    _tell(as_json, {"queue": queue, "pinned": replicas}, f"{queue} has {replicas} workers until `windrow release {name}`")


@click.command()
@click.argument("queue")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@about_a_platform
def purge(target: Target, as_json: bool, queue: str, yes: bool) -> None:
    """Cancel every ready and delayed task of QUEUE, each on record; running ones go on. Asks first."""
    from windrow.broker import admin
    from windrow.broker.observe import observe

    queue = target.queues.get(queue, queue)
    client = target.client()
    reading = observe(client, [queue])[queue]
    if not yes and reading.ready + reading.delayed:
        _confirm(f"Cancel {reading.ready} ready and {reading.delayed} delayed tasks of {queue}?")
    dropped = admin.purge(client, queue)
    _tell(as_json, {"queue": queue, "cancelled": dropped}, f"{dropped} tasks of {queue} are cancelled")


def _change(cluster: ClusterTarget, name: str, **spec: object) -> tuple[str, str]:
    """Change a QueueWorker of a cluster; its namespace and its queue."""
    namespace, changed = cluster.change(name, spec)
    return namespace, changed["spec"].get("queue") or name.replace("-", "_")


def _confirm(question: str) -> None:
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort:
        raise click.ClickException("a purge must be answered with y, or told --yes; nothing is cancelled") from None


def _tell(as_json: bool, value: dict[str, object], sentence: str) -> None:
    if as_json:
        printing.as_json(value)
    else:
        click.echo(sentence)
