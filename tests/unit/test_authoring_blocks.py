"""The example modules are the reference's code blocks, unchanged but for import paths."""

from __future__ import annotations

import importlib
import importlib.util
import textwrap
from pathlib import Path

import pytest

from tests.reference.blocks import CHANGES, MODULES, changed, printed


def test_every_block_has_a_module() -> None:
    """No code block of the reference is left out."""
    assert list(printed()) == list(MODULES)


@pytest.mark.parametrize(("heading", "module"), MODULES.items())
def test_a_module_holds_its_block_as_printed(heading: str, module: str) -> None:
    """A module holds its block to the letter; the canvas block, which is no module, stands in a function."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    block = changed(printed()[heading])
    assert block in source or textwrap.indent(block, "    ") in source


def test_every_change_is_needed_and_nothing_but_paths_and_the_placeholder() -> None:
    """What is replaced in the blocks is in them, and is an import path or the placeholder that is no Python."""
    blocks = "\n".join(printed().values())
    for old, new in CHANGES.items():
        assert old in blocks
        assert old.split("(")[0].split(".")[-1] == new.split("(")[0].split(".")[-1] or "import" in old


@pytest.mark.parametrize("module", [name for name in MODULES.values() if name.startswith("windrow_tasks")])
def test_every_example_can_be_imported(module: str) -> None:
    """An example is a module that any app can include."""
    assert importlib.import_module(module)
