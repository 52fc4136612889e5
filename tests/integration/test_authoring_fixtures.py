"""The page on writing tasks, tried as a reader would: its task and its test in a project of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"


def test_the_pages_task_and_test_work_as_written(tmp_path: Path) -> None:
    """Both code blocks of docs/tasks.md run in a new project, with the fixtures that the plugin brings."""
    task, test = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    project = tmp_path / "myproject"
    project.mkdir()
    (project / "__init__.py").touch()
    (project / "celery.py").write_text(
        "from celery import Celery\n"
        "app = Celery('myproject', include=['myproject.tasks'])\n"
        "app.conf.task_default_queue = 'default'\n",
        encoding="utf-8",
    )
    (project / "tasks.py").write_text(
        f"{task}\n\n@task\nasync def send_invoice(number):\n    return await _sent(number)\n\n\n"
        "async def _sent(number):\n    return number\n",
        encoding="utf-8",
    )
    (tmp_path / "test_tasks.py").write_text(
        f"{test}\n\n"
        "def test_the_task_of_the_page(windrow_app, windrow_worker):\n"
        "    from myproject.tasks import count_rows\n"
        "    windrow_worker('myproject.celery:app', 'default')\n"
        "    assert count_rows.delay('windrow.schedules').get(timeout=30) == 0\n",
        encoding="utf-8",
    )
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_tasks.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 passed" in ended.stdout
