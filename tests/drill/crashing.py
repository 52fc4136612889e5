"""An app whose import raises for as long as the drill asks for it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.drill.tasks import app

__all__ = ["app"]

ASKED = Path(os.environ.get("DRILL_FOLDER", "/nowhere")) / "crash"

if ASKED.exists():
    raise RuntimeError("the drill asked for an app that can't be imported")
