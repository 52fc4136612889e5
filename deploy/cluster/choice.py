"""Which cluster `make cluster` gives: one that is named, kind where Docker runs, else one that is made of parts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from deploy.cluster.parts import Missing

NAMED = "WINDROW_KUBECONFIG"
FORCED = "WINDROW_CLUSTER"


class Way(StrEnum):
    """How a cluster comes about."""

    NAMED = "named"
    """It is there already, and nothing of it is started or ended."""
    KIND = "kind"
    PARTS = "parts"


def choose(environment: Mapping[str, str], docker_answers: bool) -> Way:
    """The way. Not by `KUBECONFIG` of the environment: that may be the one of a cluster in production. Raises Missing."""
    forced = environment.get(FORCED, "")
    if forced and forced not in list(Way):
        raise Missing(f"{FORCED} must be one of {', '.join(Way)}, not {forced!r}")
    named = environment.get(NAMED, "")
    if named and not Path(named).is_file():
        raise Missing(f"{NAMED} must name a kubeconfig, and {named!r} is not a file")
    if forced:
        if forced == Way.NAMED and not named:
            raise Missing(f"{NAMED} must name a kubeconfig where {FORCED} is {forced!r}, and does not")
        return Way(forced)
    if named:
        return Way.NAMED
    return Way.KIND if docker_answers else Way.PARTS
