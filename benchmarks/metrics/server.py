"""The largest server that its limits allow for: two hundred queues of fifty tasks each, scraped while it answers others."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
from celery import Celery

from benchmarks.metrics.scraping import Scrapes, Spread, spread
from benchmarks.stack import ROOT, Stack, process, until
from windrow.authoring.install import install
from windrow.broker.client import connect
from windrow.broker.standing import Board, Standing
from windrow.metrics.catalogue import FINAL_STATES
from windrow.records.migrate import migrate
from windrow.records.names import Names
from windrow.records.rows import TotalKey
from windrow.scaling import Reason

QUEUES, TASKS = 200, 50
PATHS = ("/livez", "/healthz", "/api/queues", "/api/executions?limit=50", "/api/lag")
PAUSE_S = 0.02
"""Between two requests of the one who asks all the time."""


@dataclass(frozen=True)
class Server:
    """What was seen of the server. Latencies in seconds, by path."""

    queues: int
    tasks: int
    scrapes: Scrapes
    during: Mapping[str, Spread]
    """Of requests that were under way during a scrape."""
    between: Mapping[str, Spread]
    """Of requests before the first scrape."""


def totals() -> Counter[TotalKey]:
    """Every exact total of so many queues and tasks, as the recorder keeps them: past its limits under `other`."""
    found: Counter[TotalKey] = Counter()
    for number in range(QUEUES):
        queue = f"queue_{number:03}"
        for which in range(TASKS):
            task = f"project.package.module.task_number_{which}"
            found["attempts", queue, task, ""] = 1000 + which
            found["retries", queue, task, ""] = 1 + which
            found["failures", queue, task, "ValueError"] = 1 + which
            for state in FINAL_STATES:
                if state != "rejected":
                    found["finished", queue, task, state] = 1 + which
    return Names().bound(found)


def fill(stack: Stack, kept: Mapping[TotalKey, int]) -> None:
    """Put these totals into PostgreSQL, and their queues, with what a scaler says of each, into Redis."""
    migrate(stack.database_url)
    stack.empty()
    rows = ",".join("('" + "','".join(key) + f"',{value})" for key, value in kept.items())
    stack.execute(f"DELETE FROM windrow.totals; INSERT INTO windrow.totals (kind, queue, task, label, value) VALUES {rows}")
    app = install(Celery("filler"), stack.redis_url)
    said = {}
    for number in range(QUEUES):
        queue = f"queue_{number:03}"
        app.send_task("project.package.module.task_number_0", queue=queue, countdown=86_400)
        said[queue] = Standing("bench", 1, 0, 50, 0, 30.0, 3600.0, 30.0, 0.99, 0.995, str(Reason.IDLE), "idle")
    Board().tell(connect(stack.redis_url), said, time.monotonic())


def measure(stack: Stack, count: int, say: Callable[[str], None], quiet_s: float = 10.0) -> Server:
    """Scrape the server so often, a second apart, while somebody asks it other things all the time; before that none."""
    fill(stack, totals())
    announced = stack.folder / "server.json"
    announced.unlink(missing_ok=True)
    environment = stack.environment({"WINDROW_PORT": "0"})
    with process([sys.executable, "-m", "windrow.server"], environment, stack.folder / "large.log") as server:
        until(announced.exists, 60, "the server listens", server)
        url = json.loads(announced.read_text())["url"]
        until(lambda: stack.client.get("windrow:leader"), 60, "it leads", server)
        until(lambda: stack.client.xlen("windrow:events") == 0, 60, "what was accepted is on record", server)
        between = asyncio.run(_quiet(url, quiet_s))
        say(f"server: without scrapes {_said(between)}")
        scrapes, during = asyncio.run(_scraped(url, count))
    say(f"server: {scrapes.series:,} series in {scrapes.median:.2f} s; during scrapes {_said(during)}")
    return Server(QUEUES, TASKS, scrapes, during, between)


def _said(spreads: Mapping[str, Spread]) -> str:
    return ", ".join(f"{path} p99 {of.p99 * 1000:.0f} ms" for path, of in spreads.items())


async def _quiet(url: str, seconds: float) -> dict[str, Spread]:
    async with aiohttp.ClientSession(url) as session:
        asked = [(path, took) for path, _, took in await _ask(session, asyncio.create_task(asyncio.sleep(seconds)))]
    return {path: spread([took for of, took in asked if of == path]) for path in PATHS}


async def _scraped(url: str, count: int) -> tuple[Scrapes, dict[str, Spread]]:
    """The scrapes, made by a process of its own, and the requests that met one."""
    command = [sys.executable, "-m", "benchmarks.metrics.scraping", f"{url}/metrics", str(count), "1"]
    scraper = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    async with aiohttp.ClientSession(url) as session:
        over = asyncio.create_task(scraper.communicate())
        asked = await _ask(session, over)
    told, _ = await over
    found = json.loads(told)
    scrapes = Scrapes(found["series"], found["kilobytes"], tuple(found["began"]), tuple(found["seconds"]))
    spans = [(began, began + took) for began, took in zip(scrapes.began, scrapes.seconds, strict=True)]
    met: dict[str, list[float]] = {path: [] for path in PATHS}
    for path, began, took in asked:
        if any(began < end and start < began + took for start, end in spans):
            met[path].append(took)
    return scrapes, {path: spread(values) for path, values in met.items()}


async def _ask(session: aiohttp.ClientSession, over: asyncio.Future[Any]) -> list[tuple[str, float, float]]:
    """Two who ask until it is over, one only whether the loop turns: path, moment, and how long the answer took."""
    every, turning = await asyncio.gather(_ask_in_turn(session, PATHS[1:], over), _ask_in_turn(session, PATHS[:1], over))
    return every + turning


async def _ask_in_turn(
    session: aiohttp.ClientSession, paths: Sequence[str], over: asyncio.Future[Any]
) -> list[tuple[str, float, float]]:
    found = []
    while not over.done():
        for path in paths:
            began = time.monotonic()
            async with session.get(path) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{path} must be answered, and was with {answer.status}")
            found.append((path, began, time.monotonic() - began))
            await asyncio.sleep(PAUSE_S)
    return found


if __name__ == "__main__":
    from benchmarks.stack import folder, start

    with folder("windrow-metrics-") as made, start(made) as stack:
        print(json.dumps(asdict(measure(stack, 10, print)), default=str))
