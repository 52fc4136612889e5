"""The code blocks of the task pattern reference, in order, with the few changes that Windrow asks for."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parent / "task-pattern-reference.md"

# Each heading of the document, and the module that holds its block.
MODULES = {
    "Basic Task Structure": "windrow_tasks.examples.mymodule",
    "Task Decorator Options": "windrow_tasks.examples.options",
    "Manual Retry": "windrow_tasks.examples.manual_retry",
    "Task with Progress Updates": "windrow_tasks.examples.progress",
    "Queue-Specific Tasks": "windrow_tasks.examples.queues",
    "Chained Tasks": "windrow_tasks.examples.chained",
    "Error Handling Patterns": "windrow_tasks.examples.errors",
    "Testing Tasks": "tests.integration.test_reference_testing",
}

# Import paths, and the placeholder that is no Python: nothing else may differ.
CHANGES = {
    "from db.database import DatabaseSessionLocal": "from windrow import DatabaseSessionLocal",
    "from api.repositories.scheduler_repository import SchedulerRepository": "from windrow import SchedulerRepository",
    "from tasks.mymodule import": "from windrow_tasks.examples.mymodule import",
    "'tasks.mymodule.process'": "'windrow_tasks.examples.mymodule.process'",
    "def my_task(self, ...):": "def my_task(self):",
    "# tasks/mymodule.py": "# windrow_tasks/examples/mymodule.py",
}


def printed() -> dict[str, str]:
    """Heading → code block, as printed."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for heading, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.M | re.S):
        blocks = re.findall(r"^```python\n(.*?)^```$", body, re.M | re.S)
        assert len(blocks) <= 1, heading
        if blocks:
            found[heading] = blocks[0]
    return found


def changed(block: str) -> str:
    """The block with its import paths changed, without spaces at line ends."""
    for old, new in CHANGES.items():
        block = block.replace(old, new)
    return re.sub(r"[ \t]+$", "", block, flags=re.M).strip("\n")
