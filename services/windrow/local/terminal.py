"""Writing the view: a screen that is drawn anew when something changed, or plain lines where there is no terminal."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from typing import Protocol, TextIO

from windrow.local.supervisor import Snapshot
from windrow.local.view import Header, Records, changes, frame

logger = logging.getLogger(__name__)

_ENTER = "\x1b[?1049h\x1b[?25l"  # the alternate screen, no cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"


class Display(Protocol):
    """What a platform shows itself on."""

    def show(self, header: Header, snapshot: Snapshot, records: Records) -> None:
        """Show what the last round saw; at most once a second."""

    def say(self, text: str) -> None:
        """Tell people one thing."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class _Stream:
    """Where text goes; one that went away (a closed terminal, `| head`) is written to no more: the platform goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def write(self, text: str) -> None:
        """Write and flush."""
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            logger.warning("the view's terminal is gone: %s", error)
            self._stream = None


class Screen:
    """A terminal: one write for each frame that differs from the last."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = _Stream(stream)
        self._last: str | None = None
        self._said: list[str] = []
        self._stream.write(_ENTER)

    def show(self, header: Header, snapshot: Snapshot, records: Records) -> None:
        """Draw the frame if anything in it changed."""
        width, height = shutil.get_terminal_size()
        lines = frame(header, snapshot, records, width, height)
        text = "\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J"
        if text != self._last:
            self._last = text
            self._stream.write(text)

    def say(self, text: str) -> None:
        """Kept for the end: the screen's header says what is going on."""
        self._said.append(text)

    def close(self) -> None:
        """Back to the shell's screen, with what was said."""
        self._stream.write(_LEAVE + "".join(f"{text}\n" for text in self._said))


class Lines:
    """No terminal: a line when something changed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = _Stream(stream)
        self._last: Snapshot | None = None
        self._header: Header | None = None

    def show(self, header: Header, snapshot: Snapshot, records: Records) -> None:
        """Write a line if a queue changed, or the server's address, or the notice."""
        if self._header is None or header.server != self._header.server:
            self.say(f"windrow  {header.server or 'server is starting'}  state {header.state}")
        if header.notice and (self._header is None or header.notice != self._header.notice):
            self.say(header.notice)
        self._header = header
        line = changes(self._last, snapshot, records)
        self._last = snapshot
        if line:
            self.say(line)

    def say(self, text: str) -> None:
        """Write a line."""
        self._stream.write(f"{text}\n")

    def close(self) -> None:
        """Nothing to undo."""


def display(stream: TextIO | None = None) -> Display:
    """A screen where `stream` (standard output) is a terminal that can do it, else plain lines."""
    stream = sys.stdout if stream is None else stream
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return Screen(stream)
    return Lines(stream)
