"""The reference's own tests of its task, as printed but for import paths; tests/unit/test_authoring_blocks.py compares."""

# The code below the line is a user's own, kept as it was printed: no formatter, linter or type checker has changed it.
# fmt: off
# ruff: noqa

# ----------------------------------------------------------------------------------------------------
# tests/test_tasks.py
import pytest
from windrow_tasks.examples.mymodule import my_task

def test_task_sync():
    """Test task synchronously."""
    result = my_task.apply(args=[None, "test", 5]).get()
    assert result["status"] == "success"

@pytest.mark.asyncio
async def test_task_logic():
    """Test task logic directly."""
    from windrow_tasks.examples.mymodule import _execute_logic
    result = await _execute_logic("test", 5)
    assert result is not None

def test_task_retry(mocker):
    """Test retry behavior."""
    mocker.patch('windrow_tasks.examples.mymodule.process', side_effect=ConnectionError)
    with pytest.raises(ConnectionError):
        my_task.apply(args=[None, "test"]).get()
