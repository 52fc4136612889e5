"""An app whose import stands still for as long as the drill asks for it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.drill.tasks import app

__all__ = ["app"]

ASKED = Path(os.environ.get("DRILL_FOLDER", "/nowhere")) / "hang"

while ASKED.exists():
    time.sleep(0.1)
