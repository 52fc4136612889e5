"""kubectl as a function."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from tests.cluster.control_plane import Plane, run_kubectl


@dataclass(frozen=True)
class Kubectl:
    """`kubectl("get", "pods")` gives what it prints; raises subprocess.CalledProcessError when it refuses."""

    plane: Plane
    namespace: str

    def __call__(self, *arguments: str, given: object = None, timeout: float = 60) -> str:
        """`given` goes to its standard input: text, or what is written as JSON."""
        text = given if isinstance(given, str) or given is None else json.dumps(given)
        return run_kubectl(self.plane, f"--namespace={self.namespace}", *arguments, given=text, timeout=timeout)

    def json(self, *arguments: str) -> Any:
        """What `-o json` gives."""
        return json.loads(self(*arguments, "-o", "json"))

    def apply(self, *manifests: dict[str, Any]) -> str:
        """`kubectl apply` of some objects."""
        return self("apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": list(manifests)})

    def refusal(self, *arguments: str, given: object = None) -> str:
        """What kubectl says when it refuses; raises AssertionError when it does not."""
        try:
            done = self(*arguments, given=given)
        except subprocess.CalledProcessError as no:
            return str(no.stderr)
        raise AssertionError(f"kubectl {' '.join(arguments)} must be refused, and it said: {done}")
