"""A TCP proxy between one client process and a server: it forwards, holds or refuses, and sees what goes by.

Each worker has one of its own, so that it can be cut off alone and what it says can be told from what others say.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PASS, CUT, REFUSE = "pass", "cut", "refuse"

Seen = Callable[[bytes, bytes], bool]
"""Of a direction (`up` to the server, `down` from it) and what goes by: whether it is what was waited for."""


@dataclass
class Trap:
    """Does something as soon as something goes by, once."""

    sees: Seen
    act: Callable[[], None]
    before: bool = False
    """Act before it is forwarded: the other side never hears of it."""
    sprung: threading.Event = field(default_factory=threading.Event)
    at: float = 0.0

    def look(self, direction: bytes, data: bytes) -> bool:
        """Whether it sprang."""
        if self.sprung.is_set() or not self.sees(direction, data):
            return False
        self.at = time.monotonic()
        self.act()
        self.sprung.set()
        return True


class Loop:
    """The thread in which all proxies of a run live."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True, name="proxies")
        self._thread.start()

    def run(self, call: Callable[[], Any]) -> Any:
        """Call in the thread; coroutines are awaited."""

        async def inside() -> Any:
            made = call()
            return await made if asyncio.iscoroutine(made) else made

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(30)

    def stop(self) -> None:
        """End the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self.loop.close()


class Proxy:
    """Listens on a port of its own and forwards to `target` of 127.0.0.1."""

    def __init__(self, loop: Loop, target: int) -> None:
        self._loop, self.target = loop, target
        self.mode = PASS
        self.trap: Trap | None = None
        self.selects: Callable[[int], bool] | None = None
        """Which clients (by their port) a cut is for; None: all."""
        self.links: set[_Side] = set()
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None
        """Its port while nobody listens there: an outgoing connection of somebody else could be given it."""
        self.port = 0
        self._loop.run(self._listen)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        held, self._held = self._held or self._bound(), None
        self._server = await loop.create_server(lambda: _Side(self), sock=held)
        self.port = held.getsockname()[1]

    def _bound(self) -> socket.socket:
        """A socket that has the port, or a free one the first time."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", self.port))
        return made

    def set(self, mode: str) -> None:
        """Forward (`pass`), hold everything while connections stay up (`cut`), or close all and refuse new ones (`refuse`)."""
        self._loop.run(lambda: self._set(mode))

    async def _set(self, mode: str) -> None:
        if mode == self.mode:
            return
        if mode == REFUSE and self._server is not None:
            self._server.close()
            self._server, self._held = None, self._bound()
            for link in list(self.links):
                link.abort()
        if self.mode == REFUSE:
            await self._listen()
        self.mode = mode
        for link in list(self.links):
            link.choose()
            link.apply()

    def catch(self, trap: Trap | None) -> None:
        """Set the trap, or none."""
        self.trap = trap

    def close(self) -> None:
        """Close all."""
        if self.mode != REFUSE:
            self.set(REFUSE)
        if self._held is not None:
            self._held.close()
            self._held = None


class _Side(asyncio.Protocol):
    """One side of a link; the client's makes the server's."""

    def __init__(self, proxy: Proxy, client: _Side | None = None) -> None:
        self._proxy = proxy
        self._client = client
        self.other: _Side | None = client
        self.transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._connection: asyncio.Future[None] | None = None
        self._closed = False
        self.chosen = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._proxy.links.add(self)
        if self._client is None:
            self.choose()
            self.apply()
        else:
            self.choose()
            self._client.other = self
            for data in self._client._early:
                self.write(data)
            self._client._early = []
            self.apply()

    def choose(self) -> None:
        """Find out whether a cut is for this link."""
        select = self._proxy.selects
        side = self._client or self
        if self._proxy.mode == CUT and side.transport is not None:
            self.chosen = select is None or select(side.transport.get_extra_info("peername")[1])

    def apply(self) -> None:
        """Do what the proxy's mode says."""
        if self.transport is None or self.transport.is_closing():
            return
        if self._proxy.mode == CUT and self.chosen:
            self.transport.pause_reading()
            return
        self.transport.resume_reading()
        if self._client is None and self.other is None and self._connection is None:
            self._connection = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Side(self._proxy, self), "127.0.0.1", self._proxy.target)
        except OSError:
            self.abort()

    def data_received(self, data: bytes) -> None:
        trap = self._proxy.trap
        direction = b"up" if self._client is None else b"down"
        if trap is not None and trap.before and trap.look(direction, data):
            return
        if self.other is None or self.other.transport is None:
            self._early.append(data)
        else:
            self.other.write(data)
        if trap is not None and not trap.before:
            trap.look(direction, data)

    def write(self, data: bytes) -> None:
        """Send on."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._proxy.links.discard(self)
        if self._closed:
            return
        self._closed = True
        # What a held link's end knows, the other end does not learn before the cut is over.
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()


def takes(direction: bytes, data: bytes) -> bool:
    """Whether a worker is given a task's message."""
    return direction == b"down" and b'"headers"' in data


def acknowledges(direction: bytes, data: bytes) -> bool:
    """Whether a worker says that a message is done with: Windrow's `sync` with an F, or kombu's removal from `unacked`."""
    return direction == b"up" and (b"\r\n$1\r\nF\r\n" in data or (b"unacked_index" in data and b"ZREM" in data))
