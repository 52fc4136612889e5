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
        """Which of the told targets Prometheus is kept from."""
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
                groups = desk._groups()
                self._answer(*((503, b"no server answers") if groups is None else (200, json.dumps(groups).encode())))

            def _answer(self, code: int, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing: each scrape would be a line."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="desk", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
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

    def _groups(self) -> list[Group] | None:
        """What every server tells, each target once; None when none answers, and Prometheus then keeps what it has."""
        found: dict[str, Group] = {}
        answered = False
        for server in self.servers:
            found[server] = {"targets": [server], "labels": {"__meta_windrow_role": "server"}}
            with suppress(OSError, ValueError):
                with urllib.request.urlopen(f"http://{server}/sd", timeout=1) as answer:
                    told = json.load(answer)
                answered = True
                found.update((group["targets"][0], group) for group in told if group["targets"][0] not in self.servers)
        if self.servers and not answered:
            return None
        return [*(group for group in found.values() if not self.left_out(group)), *self.extra]


def alert_of(labels: dict[str, str]) -> Alert:
    """The alert that labels mean."""
    return Alert(labels["alertname"], labels.get("queue", ""))
