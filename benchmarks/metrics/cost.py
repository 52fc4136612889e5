"""CPU of a thousand no-op tasks, everywhere: worker, server, Redis and PostgreSQL, with what can be told or left out.

The producer's CPU is left out: it is the caller's. What is read begins with an idle worker and ends when all is on record.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks import counter
from benchmarks.measure import Summary, summarise, tree_cpu
from benchmarks.metrics.scraping import page
from benchmarks.sides import WINDROW
from benchmarks.stack import Stack, process, produce, until
from windrow.broker.client import connect
from windrow.broker.observe import workers
from windrow.records.migrate import migrate

PARTS = ("worker", "server", "redis", "postgres")


@dataclass(frozen=True)
class Variant:
    """What is on."""

    name: str
    records: bool
    """Off: the server is stopped, and events stay in Redis."""
    scraped: bool
    """Worker and server, each second."""
    logs: bool
    """Each task logs one line, which goes to the worker's log and on record."""


VARIANTS = (
    Variant("nothing", records=False, scraped=False, logs=False),
    Variant("records", records=True, scraped=False, logs=False),
    Variant("records and scrapes", records=True, scraped=True, logs=False),
    Variant("records and logs", records=True, scraped=False, logs=True),
    Variant("records, scrapes and logs", records=True, scraped=True, logs=True),
)


@dataclass(frozen=True)
class Cost:
    """CPU seconds of 1,000 tasks: each part's, and all."""

    variant: Variant
    parts: dict[str, Summary]
    whole: Summary


def measure(stack: Stack, count: int, rounds: int, say: Callable[[str], None]) -> list[Cost]:
    """Each variant in turn, `rounds` times."""
    migrate(stack.database_url)
    stack.execute("DELETE FROM windrow.totals")  # a page of its own queue, not of the largest server's
    turns: dict[str, list[dict[str, float]]] = {variant.name: [] for variant in VARIANTS}
    for number in range(rounds):
        for variant in VARIANTS if number % 2 == 0 else reversed(VARIANTS):
            found = turn(stack, variant, count)
            turns[variant.name].append(found)
            parts = ", ".join(f"{name} {found[name]:.3f}" for name in PARTS)
            say(f"cost: round {number + 1}, {variant.name}: {sum(found.values()):.3f} CPU s per 1,000 ({parts})")
    return [
        Cost(
            variant,
            {name: summarise([one[name] for one in turns[variant.name]]) for name in PARTS},
            summarise([sum(one.values()) for one in turns[variant.name]]),
        )
        for variant in VARIANTS
    ]


def turn(stack: Stack, variant: Variant, count: int) -> dict[str, float]:
    """CPU seconds of each part for 1,000 of `count` tasks."""
    stack.empty()
    counter.reset(stack.counter)
    with ExitStack() as started:
        server = started.enter_context(_server(stack)) if variant.records else None
        command, environment = WINDROW.worker(stack), stack.environment(WINDROW.settings)
        worker = started.enter_context(process(command, environment, stack.folder / "worker.log"))
        client = connect(stack.redis_url)
        until(lambda: workers(client), 60, "the worker registers", worker)
        task = "noop_logged" if variant.logs else "noop"
        produce(stack, "windrow", task, 200)  # its children have run something
        until(lambda: stack.counter.stat().st_size >= 200, 60, "it has worked", worker)
        if server is not None:
            until(lambda: stack.client.xlen("windrow:events") == 0, 60, "all is on record", worker)
        if variant.scraped:
            (told,) = workers(client)
            urls = [f"http://{told.metrics}/metrics", *([f"{_url(stack)}/metrics"] if server is not None else [])]
            started.enter_context(_scraped(urls))
        pids = {"worker": worker.pid, "redis": stack.redis_pid(), "postgres": stack.postgres_pid()}
        if server is not None:
            pids["server"] = server
        before = {name: tree_cpu(pid) for name, pid in pids.items()}
        produce(stack, "windrow", task, count)
        counter.wait(stack.counter, 200 + count, 600)
        if server is not None:
            until(lambda: stack.client.xlen("windrow:events") == 0, 120, "all is on record", worker)
        after = {name: tree_cpu(pid) for name, pid in pids.items()}
    return {name: (after.get(name, 0.0) - before.get(name, 0.0)) / count * 1000 for name in PARTS}


@contextmanager
def _server(stack: Stack) -> Iterator[int]:
    announced = stack.folder / "server.json"
    announced.unlink(missing_ok=True)
    command, environment = [sys.executable, "-m", "windrow.server"], stack.environment({"WINDROW_PORT": "0"})
    with process(command, environment, stack.folder / "server.log") as server:
        until(announced.exists, 60, "the server listens", server)
        until(lambda: stack.client.get("windrow:leader"), 60, "it leads", server)
        yield server.pid


def _url(stack: Stack) -> str:
    return str(json.loads((stack.folder / "server.json").read_text())["url"])


@contextmanager
def _scraped(urls: list[str]) -> Iterator[None]:
    """Scrape these once a second."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(1.0):
            for url in urls:
                page(url)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
