"""`windrow operator`."""

from __future__ import annotations

import click

from windrow.cli.refusal import refusing


@click.command()
@click.option("-n", "--namespace", "namespaces", multiple=True, help="A namespace to watch; again for each.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Watch every namespace, whatever WINDROW_WATCH_NAMESPACES says.")
def operator(namespaces: tuple[str, ...], all_namespaces: bool) -> int:
    """Run the Kubernetes operator: a Deployment for each QueueWorker, sized to what its queue holds.

    Several may run: one of them leads. REDIS_URL says where the queues are, WINDROW_OPERATOR_NAMESPACE where the operators'
    Lease is (in a pod: its own namespace), WINDROW_WATCH_NAMESPACES, WINDROW_WORKER_IMAGE, WINDROW_WORKER_SECRET,
    WINDROW_POD_MONITORS, WINDROW_KEY_PREFIX, WINDROW_HOST, WINDROW_PORT and WINDROW_LOG_FORMAT the rest.
    """
    if namespaces and all_namespaces:
        raise click.UsageError("the namespaces must be given by -n, or all be meant by -A, not both")
    try:
        from windrow_operator.cluster import ApiError
        from windrow_operator.config import Config
        from windrow_operator.main import run
    except ImportError as error:
        raise click.ClickException(
            f"the operator must be installed with its extra, and {error.name} is missing: pip install 'windrow[operator]'"
        ) from error
    with refusing(ValueError, ApiError, OSError):
        return run(Config.from_env(watched=() if all_namespaces else namespaces or None))
