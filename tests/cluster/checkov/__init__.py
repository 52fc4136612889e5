"""checkov in an environment of its own: its pins would meet ours. Installed once, into the user's cache folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from deploy.cluster.parts import BuildFailed, alone, cache, say

LOCK = Path(__file__).with_name("checkov.lock")


def program() -> Path:
    """Where it is, or will be."""
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return cache() / f"checkov-{digest}" / "bin" / "checkov"


def install() -> Path:
    """Install it if it is not there. Raises BuildFailed."""
    found = program()
    with alone(found.parents[1].with_suffix(".lock")):
        if found.exists():
            return found
        say("installing checkov: a minute, once")
        python = found.with_name("python")
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(found.parents[1])],
            [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK)],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                found.unlink(missing_ok=True)
                raise BuildFailed(f"checkov could not be installed: {done.stderr.strip()[-300:]}")
    return found
