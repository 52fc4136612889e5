"""The drill's own HTTP server: Alertmanager notifies it, and Prometheus asks it which processes there are."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.drill.judge import Alert, Episode

ASK_S = 0.5
Group = dict[str, Any]
"""One entry of Prometheus' http_sd."""


class Desk:
    """Keeps what was notified, and answers `/sd` from the servers' own answers."""

    def __init__(self) -> None:
        self.servers: list[str] = []
        """`host:port` of each server: who deploys them knows them, also while none of them answers."""
        self.extra: list[Group] = []
        """Targets that no server tells of: operators, and what is scraped by mistake."""
        self.left_out: Callable[[Group], bool] = lambda group: False
        """Which of the targets that servers tell of Prometheus is kept from."""
        self._lock = threading.Lock()
        self._notified: dict[Alert, Episode] = {}
        self.labels: dict[Alert, dict[str, str]] = {}
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                desk._note(body, time.monotonic())
                self._answer(200, b"{}")

            def do_GET(self) -> None:
                self._answer(200, json.dumps(desk.groups()).encode())

            def _answer(self, code: int, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(ConnectionError):  # who asked has gone
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing: each scrape would be a line."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._told: dict[str, Group] = {}
        self._closed = threading.Event()
        for work in (self._server.serve_forever, self._follow):
            threading.Thread(target=work, name="desk", daemon=True).start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def notified(self) -> dict[Alert, Episode]:
        """Every alert that was notified since the last `forget`."""
        with self._lock:
            return {alert: Episode(one.fired, one.gone) for alert, one in self._notified.items()}

    def forget(self) -> None:
        """Begin a new phase: what was resolved is forgotten, what fires stays."""
        with self._lock:
            self._notified = {alert: one for alert, one in self._notified.items() if one.gone is None}

    def _note(self, body: dict[str, Any], now: float) -> None:
        with self._lock:
            for told in body["alerts"]:
                alert = alert_of(told["labels"])
                self.labels[alert] = {**told["labels"], **told.get("annotations", {})}
                known = self._notified.get(alert)
                if told["status"] == "firing":
                    if known is None:
                        self._notified[alert] = Episode(now)
                    else:
                        known.gone = None
                elif known is not None and known.gone is None:
                    known.gone = now

    def groups(self) -> list[Group]:
        """What `/sd` answers: every server, what servers told last, and what is put in besides."""
        servers = [{"targets": [server], "labels": {"__meta_windrow_role": "server"}} for server in self.servers]
        told = [group for group in self._told.values() if not self.left_out(group)]
        return [*servers, *told, *self.extra]

    def _follow(self) -> None:
        """Ask the servers for the workers; while none answers, what was told last stands, as with Prometheus itself."""
        while not self._closed.wait(ASK_S):
            for server in self.servers:
                with suppress(OSError, ValueError):
                    with urllib.request.urlopen(f"http://{server}/sd", timeout=1) as answer:
                        told = json.load(answer)
                    self._told = {one["targets"][0]: one for one in told if one["targets"][0] not in self.servers}
                    break


def alert_of(labels: dict[str, str]) -> Alert:
    """The alert that labels mean."""
    return Alert(labels["alertname"], labels.get("queue", ""))
