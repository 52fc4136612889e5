"""A worker's port: `/metrics` for Prometheus, `/livez` and `/readyz` for whoever runs it; GET and HEAD only.

It belongs to the worker's main process, so that it stays the same and answers whatever becomes of the processes under it.
"""

from __future__ import annotations

import errno
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from windrow.metrics.worker import Page
from windrow.worker.probes import Probes

logger = logging.getLogger(__name__)

CLIENT_SECONDS = 10.0
"""How long a client may take to ask, and to read what it is told."""
QUIET_SECONDS = 2.0
"""How long a fork waits for answers that are being made."""
_TEXT = [("Content-Type", "text/plain; charset=utf-8")]


class Port:
    """Listens from the moment it is made; answers once `start` was called, in threads of its own."""

    def __init__(self, host: str, port: int) -> None:
        """`port` 0 takes a free one. Raises OSError, as one sentence, when the port is in use."""
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        try:
            self._server = _Server(family, (str(address[0]), int(address[1])))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise OSError(
                error.errno,
                f"the metrics port {host}:{port} must be free, but another process listens on it; "
                "set WINDROW_WORKER_METRICS_PORT to another one, or to 0 for any free one",
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="port", daemon=True)
        self.number = int(self._server.server_address[1])
        """The port that it listens on."""

    def start(self, probes: Probes, page: Callable[[Mapping[str, str]], Page]) -> None:
        """Answer from now on; `page` gives the metrics for what a client asks (see `WorkerMetrics.page`)."""
        self._server.answer = lambda path, asked: _answer(path, asked, probes, page)
        self._thread.start()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """The time to fork: no answer is being made, unless one takes very long."""
        with self._server.turnstile:
            self._server.turnstile.wait_for(lambda: not self._server.answering, QUIET_SECONDS)
            yield

    def forget(self) -> None:
        """In a forked process: this port is its parent's."""
        self._server.socket.close()

    def close(self) -> None:
        """Listen no more; takes up to half a second."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join(timeout=2)
        self._server.server_close()


def _answer(path: str, asked: Mapping[str, str], probes: Probes, page: Callable[[Mapping[str, str]], Page]) -> Page:
    if path == "/metrics":
        return page(asked)
    if path in ("/livez", "/readyz"):
        why_not = probes.not_alive() if path == "/livez" else probes.not_ready()
        return ("200 OK", _TEXT, b"ok\n") if why_not is None else unavailable(why_not)
    return "404 Not Found", _TEXT, b"the path must be /metrics, /livez or /readyz\n"


def unavailable(sentence: str) -> Page:
    """What can't be said now, or a no."""
    return "503 Service Unavailable", _TEXT, f"{sentence}\n".encode()


class _Server(ThreadingHTTPServer):
    answer: Callable[[str, Mapping[str, str]], Page]

    def __init__(self, family: int, address: tuple[str, int]) -> None:
        self.address_family = socket.AddressFamily(family)
        self.turnstile = threading.Condition()
        self.answering = 0
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind, and ask no name server for this host's name."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news; anything else is."""
        logger.debug("a client of the worker's port was not answered", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        """Answer with the body."""
        self._reply(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without it."""
        self._reply(with_body=False)

    def _refuse(self) -> None:
        self._send(("405 Method Not Allowed", [("Allow", "GET, HEAD"), *_TEXT], b"the method must be GET or HEAD\n"), True)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse

    def _reply(self, with_body: bool) -> None:
        path, _, query = self.path.partition("?")
        asked = {
            "QUERY_STRING": query,
            "HTTP_ACCEPT": self.headers.get("Accept", ""),
            "HTTP_ACCEPT_ENCODING": self.headers.get("Accept-Encoding", ""),
        }
        server = self.server
        with server.turnstile:
            server.answering += 1
        try:
            made = server.answer(path, asked)
        finally:
            with server.turnstile:
                server.answering -= 1
                server.turnstile.notify_all()
        self._send(made, with_body)

    def _send(self, made: Page, with_body: bool) -> None:
        status, headers, body = made
        self.send_response(int(status[:3]))
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def version_string(self) -> str:
        """What the `Server` header says."""
        return "windrow"

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: probes come every second."""
