"""Exact totals and last errors for the view, asked of the server over HTTP."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from windrow.local.supervisor import Snapshot
from windrow.local.view import Records, Totals

EVERY_SECONDS = 2.0
IDLE_SECONDS = 15.0
"""While nothing moves."""
ERRORS = 3
"""The most that are shown."""
_FAILED = ("failed", "timed_out", "lost", "rejected")


class RecordsPoll:
    """Asks the server now and then; keeps the last answer while it doesn't answer."""

    def __init__(self) -> None:
        self._records = Records()
        self._asked = -IDLE_SECONDS
        self._seen: object = None
        self._moved = True
        self._failed = 0

    def look(self, url: str | None, snapshot: Snapshot) -> Records:
        """The last known records; asks again at most every 2 s, and while nothing moves every 15 s."""
        seen = [
            (view.reading.ready, view.reading.delayed, view.reading.in_flight, view.reading.finished)
            for view in snapshot.queues
            if view.reading
        ]
        if seen != self._seen:
            self._seen, self._moved = seen, True
        since = time.monotonic() - self._asked
        if url is not None and since >= (EVERY_SECONDS if self._moved else IDLE_SECONDS):
            self._asked, self._moved = time.monotonic(), False
            rows = _get(url, "/api/totals")
            if isinstance(rows, list):
                self._records = Records(time.time(), _totals(rows), self._last_errors(url, rows))
        return self._records

    def _last_errors(self, url: str, rows: list[Any]) -> tuple[str, ...]:
        """The last failed executions; asked only when there are more than the last time."""
        failed = sum(row["value"] for row in rows if row["kind"] == "finished" and row["label"] in _FAILED)
        if failed == self._failed:
            return self._records.errors
        found = [_get(url, f"/api/executions?state={state}&limit={ERRORS}") for state in _FAILED]
        self._failed = failed
        failures = [row for answer in found if isinstance(answer, list) for row in answer]
        failures.sort(key=lambda row: row["finished_at"] or "", reverse=True)
        return tuple(_error(row) for row in failures[:ERRORS])


def _get(url: str, path: str) -> Any:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=0.5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return json.loads(response.read()) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None  # it starts, or is busy: the last answer stands
    finally:
        connection.close()


def _totals(rows: list[Any]) -> dict[str, Totals]:
    sums: Counter[tuple[str, str]] = Counter()
    for row in rows:
        sums[row["queue"], row["kind"]] += row["value"]
    return {
        queue: Totals(sums[queue, "finished"], sums[queue, "retries"], sums[queue, "failures"])
        for queue in {row["queue"] for row in rows}
    }


def _error(row: Any) -> str:
    """One failed execution on a line: when, where, which, what."""
    at = datetime.fromisoformat(row["finished_at"]).astimezone().strftime("%H:%M:%S") if row["finished_at"] else "--:--:--"
    what = " ".join(str(row["error_message"] or row["reason"] or "").split())
    text = f"{at}  {row['queue']}  {row['task']}  {row['state']}"
    return ": ".join(part for part in (text, row["error"], what) if part)
