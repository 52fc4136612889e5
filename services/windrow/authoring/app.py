"""`windrow.authoring.app:app`: Windrow's own Celery app, with the tasks that ship with Windrow."""

from __future__ import annotations

import importlib
import importlib.util

from celery import Celery

from windrow.authoring.install import install

TASKS = "windrow_tasks"


def shipped_modules() -> tuple[str, ...]:
    """The modules with shipped tasks, as `windrow_tasks.MODULES` names them; none in an image that has no shipped tasks."""
    if importlib.util.find_spec(TASKS) is None:
        return ()
    names: tuple[str, ...] = tuple(getattr(importlib.import_module(TASKS), "MODULES", ()))
    return tuple(name if name.startswith(f"{TASKS}.") else f"{TASKS}.{name}" for name in names)


app = Celery("windrow", include=shipped_modules())
"""The app; its broker and database are those of the environment."""

install(app)
