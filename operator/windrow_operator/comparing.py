"""Whether a live object is as it was applied, and the sentences for when it can't be. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from windrow_operator.names import APPLIED
from windrow_operator.state import Key

Manifest = dict[str, Any]


def stamped(manifest: Manifest) -> Manifest:
    """The manifest with a mark of all that it says, but for a Deployment's number of pods.

    Comparing what is wanted can't show what is wanted no more: the mark does, also to the next process.
    """
    spec = {key: value for key, value in manifest.get("spec", {}).items() if key != "replicas"}
    said = json.dumps({**manifest, "spec": spec}, sort_keys=True)
    mark = hashlib.sha256(said.encode()).hexdigest()[:16]
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), APPLIED: mark}}}


def mark_of(manifest: Manifest) -> str:
    """The mark of a stamped manifest."""
    return str(manifest["metadata"]["annotations"][APPLIED])


def covers(live: Any, wanted: Any) -> bool:
    """Whether all that is wanted stands in the live object with this very value; what others added doesn't matter.

    Lists of named parts are compared by name, as server-side apply merges them. A quantity that the API server writes
    otherwise (`1000m` as `1`) is a difference.
    """
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            covers(live[key], value) if key in live else _nothing(value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        if not isinstance(live, list):
            return not wanted and live is None
        if _named(wanted):
            named = {part.get("name"): part for part in live if isinstance(part, dict)}
            return all(covers(named.get(part["name"]), part) for part in wanted)
        return len(live) == len(wanted) and all(map(covers, live, wanted))
    return bool(live == wanted)


def _named(parts: list[Any]) -> bool:
    """Whether the parts have names that tell them apart: two mounts of one volume have not."""
    found = [part.get("name") if isinstance(part, dict) else None for part in parts]
    return bool(found) and None not in found and len(set(found)) == len(found)


def _nothing(value: Any) -> bool:
    """Whether the API server leaves such a value out: empty, or not given."""
    return value is None or value == {} or value == []


def controller_of(live: dict[str, Any]) -> dict[str, Any]:
    """The reference to the object that keeps this one; empty when none does."""
    references = live["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), {})


@dataclass(frozen=True)
class Fault:
    """Why an object is not as it should be."""

    sentence: str
    passing: bool
    """Whether it may be over by itself soon."""


def clash(live: dict[str, Any], kind: str, key: Key) -> Fault:
    """An object stands where one of ours should; what a QueueWorker that is gone left behind is about to go."""
    metadata = live["metadata"]
    keeper = controller_of(live)
    if not keeper:
        whose, passing = "nobody that an owner reference names", False
    elif (keeper.get("kind"), keeper.get("name")) == ("QueueWorker", key.name):
        whose, passing = "one of that name that is gone", True
    else:
        whose, passing = f"{keeper.get('kind')} {keeper.get('name')}", False
    return Fault(
        f"{kind} {metadata['name']} must belong to QueueWorker {key.name}, not to {whose}: "
        "delete it, or give the QueueWorker another name",
        passing or "deletionTimestamp" in metadata,
    )


def refusal(manifest: Manifest, code: int, sentence: str) -> Fault:
    """The API server would not take an object; `code` is its HTTP status, 0 when it did not answer."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    if kind == "PodMonitor" and code == 404:
        return Fault(
            "PodMonitor must be a kind that the cluster knows, and it is not: install the Prometheus operator's CRDs, or set "
            "WINDROW_POD_MONITORS to false",
            False,
        )
    said = sentence.removeprefix("the API server said: ")
    return Fault(
        f"{kind} {name} must be acceptable to the API server, and is not: {said}", code in (0, 409, 429) or code >= 500
    )
