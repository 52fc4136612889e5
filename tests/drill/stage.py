"""What the drill is done to: Redis, PostgreSQL, `windrow up` with its workers, a second server; and who watches it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import redis

from tests.chaos.processes import ROOT, free_port
from tests.drill import queues
from tests.drill.desk import Desk
from tests.drill.load import Producer
from tests.drill.tower import Tower
from windrow.broker import admin
from windrow.broker.client import Client, connect
from windrow.broker.observe import QueueReading, observe
from windrow.local.processes import launch, stop
from windrow.local.servers import EmbeddedPostgres, EmbeddedRedis


class Stage:
    """The processes of a drill; entered, all of them answer."""

    def __init__(self, folder: Path, factor: float, shipped: Path | None = None) -> None:
        self.folder, self.factor = folder, factor
        self.desk = Desk()
        self.tower = Tower(folder, self.desk.port, factor, shipped)
        self.servers: dict[str, str] = {}
        """Each server's `host:port` by what it is called."""
        self.kept: dict[str, Any] = {}
        """What a cause's beginning keeps for its mending."""
        self.producer: Producer
        self.client: Client
        self.exits = ExitStack()
        """What is undone at the end."""
        self._second: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Stage:
        try:
            self._start()
        except BaseException:
            self.exits.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.exits.close()

    def _start(self) -> None:
        self.exits.callback(self.desk.close)
        self.redis = EmbeddedRedis(self.folder / "foundation")
        self.postgres = EmbeddedPostgres(
            self.folder / "foundation", settings={"max_connections": "60", "shared_buffers": "32MB"}
        )
        for server in (self.redis, self.postgres):
            server.launch()
            self.exits.callback(server.stop)
        self.redis.ready()
        self.postgres.ready()
        self._start_platform()
        self.exits.callback(self.tower.stop)
        self.tower.start()
        self.until(self.seen, 60, "Prometheus sees a leader, and nothing fires")
        self.producer = Producer(self.redis.url)
        self.exits.callback(self.producer.stop)

    def _start_platform(self) -> None:
        from windrow.records.migrate import migrate

        migrate(self.postgres.url)
        self.client = connect(self.redis.url)
        specs = self.folder / "windrow.yaml"
        specs.write_text(queues.documents(), encoding="utf-8")
        first, second = free_port(), free_port()
        self.servers = {"first": f"127.0.0.1:{first}", "second": f"127.0.0.1:{second}"}
        self.desk.servers = list(self.servers.values())
        self.up = self._run("up", ["up", "-f", str(specs)], first)
        self.exits.callback(self._end_platform)
        self._second = self._run("second", ["server"], second, WINDROW_SPECS=str(specs))
        self.exits.callback(lambda: self._second is not None and stop(self._second, ((signal.SIGTERM, 5.0),)))
        self.until(self.leads, 60, "a server leads")

    def environment(self, **more: str) -> dict[str, str]:
        """What the platform's processes are started with."""
        return {
            **os.environ,
            "REDIS_URL": self.redis.url,
            "DATABASE_URL": self.postgres.url,
            "DRILL_FOLDER": str(self.folder),
            "PYTHONPATH": str(ROOT),
            **more,
        }

    def _run(self, name: str, command: list[str], port: int, **more: str) -> subprocess.Popen[bytes]:
        env = self.environment(WINDROW_STATE=str(self.folder / name), WINDROW_PORT=str(port), **more)
        program = [sys.executable, "-m", "windrow.cli", *command]
        return launch(program, log=self.folder / f"{name}.log", death_signal=signal.SIGTERM, env=env, cwd=ROOT)

    def _end_platform(self) -> None:
        self.up.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.up.wait(1)
        stop(self.up, ((signal.SIGTERM, 20.0),))

    # --- what causes need ------------------------------------------------------------------------------------------------

    def leads(self) -> bool:
        """Whether a server leads."""
        with suppress(redis.RedisError):
            return bool(self.client.get(self.client.keys_of.leader))
        return False

    def seen(self) -> bool:
        """Whether Prometheus sees one leader, and nothing fires."""
        found = self.tower.query("sum(windrow_leader)")
        return bool(found) and found[0]["value"][1] == "1" and all(one.gone for one in self.tower.look().values())

    def reading(self, queue: str) -> QueueReading:
        """What a queue holds now."""
        return observe(self.client, [queue], time.time())[queue]

    def serving(self, queue: str) -> bool:
        """Whether a worker of the queue has registered."""
        return bool(self.reading(queue).workers)

    def windrow(self, *command: str) -> None:
        """Run a command of the platform's, as a person would; raises CalledProcessError."""
        env = self.environment(WINDROW_STATE=str(self.folder / "up"))
        subprocess.run(
            [sys.executable, "-m", "windrow.cli", *command], env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )

    def warm(self, names: Iterable[str]) -> None:
        """Give each of these queues a worker, one after another, until `cool`."""
        for queue in names:
            admin.pin(self.client, queue, 1)
            self.until(partial(self.serving, queue), 60, f"a worker serves {queue}")

    def cool(self) -> None:
        """Leave all queues to the autoscaler again."""
        for queue in queues.NAMES:
            admin.release(self.client, queue)

    def until(self, condition: Callable[[], Any], timeout: float, what: str) -> Any:
        """Poll until it is true; raises TimeoutError, naming `what`."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} must happen within {timeout:.0f} s; see {self.folder}")
            time.sleep(0.05)
        return found
