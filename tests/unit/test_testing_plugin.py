"""The pytest plugin costs a run that doesn't use it nothing, and finds apps by their place in a module."""

from __future__ import annotations

import subprocess
import sys

import pytest
from celery import Celery

from windrow.testing.workers import app_path

app = Celery("found", set_as_current=False)


def test_the_plugin_imports_nothing_heavy() -> None:
    """It is loaded in every pytest run of an environment with Windrow in it: only a fixture that is asked for imports."""
    code = (
        "import sys, windrow.testing.plugin;"
        "heavy = {'celery', 'kombu', 'redis', 'sqlalchemy', 'asyncpg', 'pydantic', 'aiohttp'} & set(sys.modules);"
        "sys.exit(','.join(heavy) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_an_app_is_named_by_the_module_that_holds_it() -> None:
    """A worker imports the app anew, so it must be a variable of a module; a path is taken as it is."""
    assert app_path(app) == f"{__name__}:app"
    assert app_path("somewhere:app") == "somewhere:app"
    with pytest.raises(ValueError, match="must be one that a worker can import"):
        app_path(Celery("nowhere", set_as_current=False))
