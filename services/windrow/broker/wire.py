"""One connection to Redis for an event loop: sends without waiting, reads what has come.

redis-py makes the connection (address, TLS, authentication); hiredis reads the replies. With RESP3 the server pushes a line
when a key that this connection has read changes (client tracking), and what is published on its channels, between the replies.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, cast

import hiredis
import redis

READ_SIZE = 1 << 17
_NOTHING = object()


class Wire:
    """A connected wire; every failure is a `redis.ConnectionError`."""

    def __init__(self, make_connection: Callable[[int], redis.Connection]) -> None:
        """Connect; `make_connection(protocol)` gives an unconnected redis-py connection that speaks RESP 2 or 3."""
        self.pushes = True
        """Whether channels can be subscribed to beside commands: RESP3."""
        self.tracking = False
        try:
            self._connection = make_connection(3)
            self._connection.connect()
        except (redis.ResponseError, redis.exceptions.InvalidResponse):  # a proxy or an ACL that allows no HELLO 3
            self.pushes = False
            self._connection = make_connection(2)
            self._connection.connect()
        if self.pushes:
            try:
                self.tracking = self.call("CLIENT", "TRACKING", "ON", "NOLOOP") in (b"OK", "OK")
            except redis.ResponseError:  # an ACL that allows no tracking
                pass
        self._socket: socket.socket = cast(socket.socket, self._connection._sock)
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)

    def fileno(self) -> int:
        """The socket's file descriptor."""
        return int(self._socket.fileno())

    def call(self, *command: Any) -> Any:
        """Send one command and wait for its reply; only for the first steps after connecting."""
        self._connection.send_command(*command)
        return self._connection.read_response()

    def run_id(self) -> str:
        """Which run of the server this is: another one after each start; '' where that may not be asked."""
        try:
            text = self.call("INFO", "server")
        except redis.ResponseError:  # an ACL that does not allow it
            return ""
        found = re.search(rb"run_id:(\w+)", text if isinstance(text, bytes) else str(text).encode())
        return found[1].decode() if found else ""

    def subscribe(self, channel: str) -> None:
        """Hear what is published on a channel, where that is allowed; only for the first steps after connecting."""
        if not self.pushes:
            return
        self._connection.send_command("SUBSCRIBE", channel)
        self._connection.send_command("PING")
        try:
            self._connection.read_response()  # the subscription is told by a push, which this skips
        except redis.ResponseError:  # an ACL that allows no such channel
            self.pushes = self.tracking = False
            self._connection.read_response()

    def listen(self) -> None:
        """From here on the event loop reads: the socket no longer blocks on reading."""
        self._socket.settimeout(0)

    def send(self, *command: Any) -> None:
        """Send one command; blocks only while the socket's buffer is full, for at most 3 seconds."""
        packed = self._connection.pack_command(*command)
        try:
            self._socket.settimeout(3)
            for part in packed:
                self._socket.sendall(part)
            self._socket.settimeout(0)
        except OSError as error:
            raise redis.ConnectionError(f"Redis went away while it was written to: {error}") from error

    def replies(self) -> Iterator[Any]:
        """What has come: replies in order, pushes as `hiredis.PushNotification`."""
        while True:
            try:
                data = self._socket.recv(READ_SIZE)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                raise redis.ConnectionError(f"Redis went away while it was read from: {error}") from error
            if not data:
                raise redis.ConnectionError("Redis closed the connection")
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _NOTHING:
                yield reply
            if len(data) < READ_SIZE and not isinstance(self._socket, ssl.SSLSocket):
                return

    def close(self) -> None:
        """Close the socket; nothing is sent."""
        self._connection.disconnect()
