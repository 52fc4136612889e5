"""The pipes between a prefork worker and its children: jobs one way, what becomes of them the other.

Jobs travel through a socket that keeps messages apart (SOCK_SEQPACKET): each is received whole, by the child or by nobody, in
one system call each side. So the parent can take back from its end what the child has not received yet, whatever the child is
doing, and the kernel decides who gets a message.
"""

from __future__ import annotations

import errno
import os
import pickle
import socket
import struct
from collections import deque
from typing import Any

HEAD = struct.Struct(">?q")
"""In front of each job: whether its text is in a file that came with it, and its number."""
STOP = -1
"""The number that ends a child."""
RECYCLED = 16
"""A child's word beside billiard's: it ends so that another takes its place, for the reason `tasks` or `memory`."""
LOG = "log"
"""What a child says in front of a job's end when the job has logged something; beside billiard's numbers."""
MOST_INLINE = 16 * 1024
"""A job with a longer text travels as an open file: many of these fit into a socket's buffer."""
DESCRIPTOR = struct.Struct("i")
_ROOM = socket.CMSG_SPACE(DESCRIPTOR.size)
READ_SIZE = 1 << 16
LENGTH = struct.Struct(">i")
"""In front of each message of a child; billiard's own framing."""


class _End(socket.socket):
    """One end of a job socket, with what billiard asks of a connection."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return super().fileno() < 0

    def fileno(self) -> int:
        """Its descriptor; raises OSError once it is closed."""
        descriptor = super().fileno()
        if descriptor < 0:
            raise OSError(errno.EBADF, "the job socket is closed")
        return descriptor


class JobSocket:
    """The way from the parent to one child; `_reader` and `_writer` are billiard's names for its ends."""

    def __init__(self) -> None:
        self._reader, self._writer = (
            _End(end.family, end.type, end.proto, end.detach())
            for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        )

    def send(self, number: int, text: bytes) -> bool:
        """Send a job if there is room for it; raises OSError when nobody can receive it."""
        try:
            if len(text) <= MOST_INLINE:
                self._writer.send(HEAD.pack(False, number) + text, socket.MSG_DONTWAIT)
                return True
            file = os.memfd_create("windrow-job")
            try:
                _write(file, text)
                socket.send_fds(self._writer, [HEAD.pack(True, number)], [file], socket.MSG_DONTWAIT)
            finally:
                os.close(file)
        except BlockingIOError:
            return False
        return True

    def receive(self, flags: int = 0) -> tuple[int, bytes] | None:
        """The next job; waits for it unless `flags` has MSG_DONTWAIT, then None when there is none.

        Raises EOFError when the other end is gone.
        """
        try:
            packet, with_it, _, _ = self._reader.recvmsg(MOST_INLINE + HEAD.size, _ROOM, flags)
        except BlockingIOError:
            return None
        if not packet:
            raise EOFError
        filed, number = HEAD.unpack_from(packet)
        if not filed:
            return number, packet[HEAD.size :]
        (descriptor,) = DESCRIPTOR.unpack(with_it[0][2])
        with open(descriptor, "rb") as file:
            file.seek(0)
            return number, file.read()

    def put(self, sentinel: None) -> None:
        """Tell the child to end, after what it was sent before; billiard's name for it."""
        self._writer.settimeout(1)
        try:
            self._writer.send(HEAD.pack(False, STOP))
        finally:
            self._writer.settimeout(None)

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self._writer.close()


class Outgoing:
    """A child's end of the way back: messages in billiard's framing, several in one write."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held = b""

    def hold(self, message: Any) -> None:
        """Write this with the next `flush`; raises what pickling it raises."""
        text = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._held += LENGTH.pack(len(text)) + text

    @property
    def holds(self) -> bool:
        """Whether something is held."""
        return bool(self._held)

    def flush(self) -> None:
        """Write what is held."""
        held, self._held = self._held, b""
        if held:
            _write(self._descriptor, held)


class Incoming:
    """The parent's end: reads what has come, whole messages only."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._messages: deque[bytes] = deque()

    def read(self) -> None:
        """Read all that has come; raises OSError or EOFError when nothing more will."""
        while True:
            try:
                data = os.read(self._descriptor, READ_SIZE)
            except BlockingIOError:
                return
            if not data:
                raise EOFError
            self._split(self._rest + data)
            if len(data) < READ_SIZE:
                return

    def next(self) -> Any:
        """The next message in order, None when there is none. What handles one may read and handle more meanwhile."""
        return pickle.loads(self._messages.popleft()) if self._messages else None  # noqa: S301 - from our own child

    def _split(self, data: bytes) -> None:
        at, end = 0, len(data)
        while end - at >= LENGTH.size:
            (size,) = LENGTH.unpack_from(data, at)
            if end - at - LENGTH.size < size:
                break
            at += LENGTH.size
            self._messages.append(data[at : at + size])
            at += size
        self._rest = data[at:]


def _write(descriptor: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
