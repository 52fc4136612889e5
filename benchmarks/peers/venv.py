"""The peers' own venvs, from pinned and hashed lists: made anew whenever a list changes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.stack import ROOT

LOCKS = {"peers": "requirements.lock", "arq": "arq.lock"}
"""arq needs a redis-py that would keep the others at old releases: it has a venv of its own."""


def python(name: str) -> Path:
    """The Python of a venv, made if need be."""
    folder, lock = ROOT / f"build/{name}-venv", Path(__file__).parent / LOCKS[name]
    made, wanted = folder / "made-from", hashlib.sha256(lock.read_bytes()).hexdigest()
    if not made.exists() or made.read_text() != wanted:
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True)
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--compile-bytecode", "--only-binary", ":all:", "--require-hashes", "-r", lock],
            check=True,
            env={**os.environ, "VIRTUAL_ENV": str(folder)},
        )
        made.write_text(wanted)
    return folder / "bin/python"


def version(interpreter: Path, *packages: str) -> str:
    """The releases of these packages, as that Python sees them."""
    code = "import sys; from importlib.metadata import version; print(', '.join(map(version, sys.argv[1:])))"
    done = subprocess.run([interpreter, "-c", code, *packages], check=True, capture_output=True, text=True)
    return done.stdout.strip()
