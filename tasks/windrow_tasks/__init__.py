"""Tasks that ship with Windrow, and the worked examples. They import only what any user may import: `windrow`."""

from pathlib import Path

MODULES = (
    "series",
    "files",
    "fetch",
    "reports",
    "examples.chained",
    "examples.errors",
    "examples.manual_retry",
    "examples.mymodule",
    "examples.options",
    "examples.progress",
    "examples.queues",
)
"""The modules with tasks, which Windrow's own app imports."""

DATA = Path(__file__).parent / "data"
"""Where the real series are; `data/README.md` says where they come from."""
