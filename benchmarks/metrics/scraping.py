"""Scrapes as Prometheus makes them: `python -m benchmarks.metrics.scraping URL COUNT PAUSE` prints what they took as JSON."""

from __future__ import annotations

import gzip
import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Scrapes:
    """Several scrapes of one page."""

    series: int
    """Of the last one."""
    kilobytes: float
    """Of the last one, unpacked."""
    began: tuple[float, ...]
    """Each on the clock that all processes of a machine share (`time.monotonic`)."""
    seconds: tuple[float, ...]
    """Each from the request to the page's last byte."""

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Spread:
    """Latencies, in seconds."""

    count: int
    median: float
    p99: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Median, 99th percentile (the value that at most 1 % exceed) and most; raises ValueError when there is no value."""
    if not values:
        raise ValueError("a spread must rest on at least one value, none was given")
    ordered = sorted(values)
    return Spread(len(ordered), statistics.median(ordered), ordered[-1 - len(ordered) // 100], ordered[-1])


def page(url: str) -> bytes:
    """One scrape."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        body: bytes = answer.read()
        return gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body


def series(text: bytes) -> int:
    """How many series a page has."""
    return sum(1 for line in text.splitlines() if line and not line.startswith(b"#"))


def scrape(url: str, count: int, pause: float) -> Scrapes:
    """So many scrapes, with a pause (s) after each."""
    began, taken, text = [], [], b""
    for _ in range(count):
        began.append(time.monotonic())
        text = page(url)
        taken.append(time.monotonic() - began[-1])
        time.sleep(pause)
    return Scrapes(series(text), len(text) / 1000, tuple(began), tuple(taken))


def main() -> None:
    """Scrape in a process of its own, so that whoever measures something else meanwhile is not held up."""
    url, count, pause = sys.argv[1:]
    print(json.dumps(asdict(scrape(url, int(count), float(pause)))))


if __name__ == "__main__":
    main()
