"""What processes wrote, by the API server's audit log: each by the token that it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import Plane


def token_of(kubeconfig: Path) -> str:
    """What the audit log calls the token of a kubeconfig: its id, which is no secret."""
    import base64

    token = json.loads(kubeconfig.read_text(encoding="utf-8"))["users"][0]["user"]["token"]
    payload = token.split(".")[1]
    return f"JTI={json.loads(base64.urlsafe_b64decode(payload + '=' * (-len(payload) % 4)))['jti']}"


def mark(plane: Plane) -> int:
    """A place in the audit log: its end."""
    return plane.audit.stat().st_size if plane.audit.exists() else 0


def written(plane: Plane, token: str, since: int = 0) -> list[dict[str, Any]]:
    """The audit log's events about all that was asked with a token and would change something, refused or not."""
    if not plane.audit.exists():
        return []
    with plane.audit.open("rb") as file:
        file.seek(since)
        events = [json.loads(line) for line in file if line.endswith(b"\n")]
    return [
        event for event in events
        if token in event["user"].get("extra", {}).get("authentication.kubernetes.io/credential-id", [])
    ]  # fmt: skip


def names(events: list[dict[str, Any]]) -> list[str]:
    """Each event in a word or two: `patch deployments mail 200`."""
    return [
        " ".join(
            (
                event["verb"],
                "/".join(filter(None, (event["objectRef"]["resource"], event["objectRef"].get("subresource")))),
                event["objectRef"].get("name", "-"),
                str(event["responseStatus"]["code"]),
            )
        )
        for event in events
    ]
