"""Windrow: a worker platform for Celery.

What a task's author imports. Names are loaded when they are first used, so that `import windrow` costs nothing and a worker
loads no part that it does not run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

__all__ = [
    "DatabaseSessionLocal",
    "SchedulerRepository",
    "__version__",
    "enqueue",
    "install",
    "run_async",
    "task",
]

if TYPE_CHECKING:
    from windrow.authoring.database import DatabaseSessionLocal
    from windrow.authoring.enqueue import enqueue
    from windrow.authoring.install import install
    from windrow.authoring.loop import run_async
    from windrow.authoring.repository import SchedulerRepository
    from windrow.authoring.tasks import task

_HOMES = {
    "DatabaseSessionLocal": "windrow.authoring.database",
    "SchedulerRepository": "windrow.authoring.repository",
    "enqueue": "windrow.authoring.enqueue",
    "install": "windrow.authoring.install",
    "run_async": "windrow.authoring.loop",
    "task": "windrow.authoring.tasks",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'windrow' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(home), name)
