"""Whether a live object is as it was applied. Pure."""

from __future__ import annotations

from typing import Any

from windrow_operator.state import Key


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
        if wanted and all(isinstance(part, dict) and "name" in part for part in wanted):
            named = {part.get("name"): part for part in live if isinstance(part, dict)}
            return all(covers(named.get(part["name"]), part) for part in wanted)
        return len(live) == len(wanted) and all(map(covers, live, wanted))
    return bool(live == wanted)


def _nothing(value: Any) -> bool:
    """Whether the API server leaves such a value out: empty, or not given."""
    return value is None or value == {} or value == []


def controlled_by(live: dict[str, Any], uid: str) -> bool:
    """Whether the QueueWorker with this uid keeps the object."""
    references = live["metadata"].get("ownerReferences") or ()
    return any(reference.get("controller") and reference.get("uid") == uid for reference in references)


def clash(live: dict[str, Any], kind: str, key: Key) -> str:
    """The sentence about an object that stands where one of ours should."""
    metadata = live["metadata"]
    keeper = next((ref for ref in metadata.get("ownerReferences") or () if ref.get("controller")), None)
    whose = f"{keeper.get('kind')} {keeper.get('name')}" if keeper is not None else "nobody that an owner reference names"
    return (
        f"{kind} {metadata['name']} must belong to QueueWorker {key.name}, not to {whose}: "
        "delete it, or give the QueueWorker another name"
    )


def refusal(kind: str, name: str, code: int, sentence: str) -> str:
    """The sentence about an object that the API server would not take."""
    if kind == "PodMonitor" and code == 404:
        return (
            "PodMonitor must be a kind that the cluster knows, and it is not: install the Prometheus operator's CRDs, or set "
            "WINDROW_POD_MONITORS to false"
        )
    return f"{kind} {name} must be acceptable to the API server, and is not: {sentence.removeprefix('the API server said: ')}"
