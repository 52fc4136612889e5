"""Cuts the tail off Redis' append-only file, at the boundary of a command or of a whole transaction."""

from __future__ import annotations

from pathlib import Path


def boundary(data: bytes, at: int) -> int:
    """The last place at or before `at` where a command ends and no transaction is open."""
    position, whole, inside = 0, 0, False
    while position < min(at, len(data)):
        end = data.find(b"\r\n", position)
        if end < 0 or data[position : position + 1] not in (b"*", b"#"):
            break
        if data[position : position + 1] == b"#":  # a note of the time
            position = end + 2
        else:
            first, position = b"", end + 2
            for number in range(int(data[data.rfind(b"*", 0, end) + 1 : end])):
                end = data.find(b"\r\n", position)
                length = int(data[position + 1 : end])
                if number == 0:
                    first = data[end + 2 : end + 2 + length].upper()
                position = end + 2 + length + 2
            inside = first == b"MULTI" or (inside and first != b"EXEC")
        if position > at:
            break
        if not inside:
            whole = position
    return whole


def cut(path: Path, at: int) -> int:
    """Cut the file at the last boundary up to `at`; returns how many bytes are gone."""
    data = path.read_bytes()
    keep = boundary(data, at)
    with path.open("r+b") as file:
        file.truncate(keep)
    return len(data) - keep
