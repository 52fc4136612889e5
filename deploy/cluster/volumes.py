"""The pool of PersistentVolumes: folders of the node. One whose claim is gone is emptied and offered again.

`main` runs on the node for as long as it does.
"""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from deploy.cluster.layout import NODE, VOLUMES, Layout

STORAGE_CLASS = "local"
SIZE = "20Gi"
"""What a claim may ask for at most; nothing holds a folder to it."""
TURN = 1.0
"""Seconds between two looks at the pool."""


def volume(name: str, folder: Path) -> dict[str, Any]:
    """A PersistentVolume in a folder of the node. Not `hostPath`: only a `local` one is given to its pod's group (fsGroup)."""
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": SIZE},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": STORAGE_CLASS,
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        },
    }


def wanted(there: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Of the pool, by what there is: the names to offer, and the names to empty because their claim is gone."""
    phases = {each["metadata"]["name"]: each.get("status", {}).get("phase") for each in there}
    names = [f"local-{number:02}" for number in range(VOLUMES)]
    return [name for name in names if name not in phases], [
        name for name in names if phases.get(name) in ("Released", "Failed")
    ]


class Pool:
    """The pool, and the API server that holds its objects."""

    def __init__(self, layout: Layout) -> None:
        self._folder = layout.volumes
        config = json.loads(layout.kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._url = f"{cluster['server']}/api/v1/persistentvolumes"
        self._token = config["users"][0]["user"]["token"]
        self._trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())

    def turn(self) -> None:
        """Look once, and do what is wanted. Raises OSError when the API server can't be asked."""
        offered, emptied = wanted(self._ask("GET")["items"])
        for name in emptied:
            shutil.rmtree(self._folder / name, ignore_errors=True)
            self._ask("DELETE", f"/{name}")
        for name in offered:
            (self._folder / name).mkdir(parents=True, exist_ok=True)
            (self._folder / name).chmod(0o777)
            self._ask("POST", "", volume(name, self._folder / name))

    def _ask(self, verb: str, path: str = "", content: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the address is the node's
            self._url + path, method=verb, data=None if content is None else json.dumps(content).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=10, context=self._trust) as answer:  # noqa: S310
            return dict(json.load(answer))


def main() -> None:
    """Keep the pool until the node ends."""
    pool = Pool(Layout(Path(sys.argv[1])))
    while True:
        try:
            pool.turn()
        except (OSError, urllib.error.URLError) as reason:
            print(f"the pool is looked at again: {reason}", flush=True)
        time.sleep(TURN)
