"""The state folder is one platform's, and its secrets are its owner's."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from windrow.local import platform
from windrow.local.folders import FolderLock, StateInUse, write_private
from windrow.local.platform import Platform
from windrow.local.ports import PortInUse, check_port


def test_a_held_folder_names_its_holder_and_is_free_afterwards(tmp_path: Path) -> None:
    """Two platforms never share a folder: the second is told which process has it."""
    first, second = FolderLock(tmp_path / "lock"), FolderLock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(StateInUse, match=f"held by process {os.getpid()}.*--state"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_private_file_is_never_readable_by_others(tmp_path: Path) -> None:
    """Also when a file that everybody may read stood there before."""
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_platform_is_found_while_its_process_lives(tmp_path: Path) -> None:
    """What a killed platform left in its folder is no platform."""
    made = Platform("redis://:secret@127.0.0.1:1/0", "postgresql://x", "p:", {"a-b": "a_b"}, tmp_path)
    platform.announce(made, tmp_path)
    assert platform.find(tmp_path) == made
    assert "secret" not in repr(made)
    assert (tmp_path / platform.FILE).stat().st_mode & 0o777 == 0o600
    text = (tmp_path / platform.FILE).read_text()
    (tmp_path / platform.FILE).write_text(text.replace(f'"pid": {os.getpid()}', '"pid": 999999999'))
    assert platform.find(tmp_path) is None
    platform.withdraw(tmp_path)
    assert platform.find(tmp_path) is None


def test_a_port_in_use_names_its_holder() -> None:
    """The sentence says which process has the port."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"port {port} .* held by process {os.getpid()} .*WINDROW_PORT"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)
    check_port("127.0.0.1", 0)
