"""A cluster by kind, where a Docker engine answers."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from deploy.cluster import parts
from deploy.cluster.parts import BuildFailed

NAME = "windrow"
ENTER = ("docker", "exec", f"{NAME}-control-plane")
"""The beginning of a command that runs on the node."""


def docker_answers() -> bool:
    """Whether a Docker engine answers."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20).returncode == 0  # noqa: S607
    except (OSError, subprocess.TimeoutExpired):
        return False


def kubeconfig() -> Path:
    """The kubeconfig of the cluster, if it runs."""
    return parts.cache() / "kind.kubeconfig"


def start() -> Path:
    """Start the cluster, or find it running; gives its kubeconfig. Raises Missing and BuildFailed."""
    if NAME not in _run(str(parts.build(parts.KIND)), "get", "clusters").split():
        _run(
            str(parts.build(parts.KIND)),
            "create",
            "cluster",
            "--name",
            NAME,
            "--wait",
            "120s",
            "--kubeconfig",
            str(kubeconfig()),
        )
    return kubeconfig()


def stop() -> None:
    """End the cluster, if it runs. Raises BuildFailed."""
    _run(str(parts.build(parts.KIND)), "delete", "cluster", "--name", NAME, "--kubeconfig", str(kubeconfig()))
    kubeconfig().unlink(missing_ok=True)


def build(context: Path, tag: str, *, dockerfile: Path | None, args: Mapping[str, str]) -> str:
    """Build a Dockerfile by Docker and give the image's id. Raises BuildFailed."""
    given = [part for name, value in args.items() for part in ("--build-arg", f"{name}={value}")]
    _run("docker", "build", *given, "--file", str(dockerfile or context / "Dockerfile"), "--tag", tag, str(context))
    return _run("docker", "image", "inspect", "--format", "{{.Id}}", tag).strip()


def load(*tags: str) -> None:
    """Bring images of Docker into the cluster. Raises BuildFailed."""
    _run(str(parts.build(parts.KIND)), "load", "docker-image", "--name", NAME, *tags)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise BuildFailed(f"`{' '.join(command[:3])} …` failed: " + " / ".join(done.stderr.strip().splitlines()[-5:]))
    return done.stdout
