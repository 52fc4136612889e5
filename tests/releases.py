"""The previous release's own code, as it was committed, for tests that run it beside this one's."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PREVIOUS = ROOT / "deploy" / "previous-release"
PARTS = ("services", "tasks", "operator")


class MissingReleaseError(Exception):
    """The commit of the previous release is not in this clone."""


def unpack_previous(folder: Path) -> Path:
    """Put the previous release's Python parts into `folder`; raises MissingReleaseError where its commit isn't there."""
    version, commit = PREVIOUS.read_text(encoding="utf-8").split()
    packed = subprocess.run(["git", "archive", commit, *PARTS], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode != 0:
        raise MissingReleaseError(
            f"commit {commit} of release {version} must be in this clone's history: a shallow one lacks it"
        )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def python_path(release: Path) -> str:
    """The PYTHONPATH with which a process runs the code of the release in this folder, and the tests' tasks."""
    return os.pathsep.join([*(str(release / part) for part in PARTS), str(ROOT)])
