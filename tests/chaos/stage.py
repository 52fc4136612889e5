"""The processes of one row: Redis, PostgreSQL, servers, workers and the producer, with what the harness needs to judge them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import redis

from tests.chaos import records, totals
from tests.chaos.load import Load
from tests.chaos.log import Log, Outage, read_calls, read_lines
from tests.chaos.monitor import Monitor, results, told
from tests.chaos.processes import ROOT, Kind, Worker, celery_command, free_port, windrow_command, write_spec
from tests.chaos.proxy import Loop, Proxy
from tests.chaos.watch import Watch
from windrow.local.processes import launch
from windrow.local.servers import EmbeddedPostgres, EmbeddedRedis

_FAST = {"max_connections": "60", "shared_buffers": "32MB"}


class Stage:
    """One row's processes. Everything that is done to them is written down here; nothing of it is asked from them."""

    def __init__(
        self,
        folder: Path,
        system: str,
        seed: int,
        *,
        servers: int = 1,
        clock_of: str = "",
        entry: Sequence[str] = (),
        kind: Kind | None = None,
    ) -> None:
        self.folder, self.system, self.dice, self.seed = folder, system, random.Random(seed), seed
        self.clock_of, self.entry, self.kind = clock_of, entry, kind or Kind()
        self.workers: list[Worker] = []
        self.servers: list[subprocess.Popen[bytes]] = []
        self.kills: dict[int, float] = {}
        self.struck = 0
        """How many blows were dealt."""
        self.killed = 0
        """How many of them were SIGKILLs."""
        self.frozen: list[tuple[int, float, float]] = []
        self.outages: list[Outage] = []
        self.lost: list[tuple[float, float]] = []
        self.clock = time.time() - time.monotonic()
        self._exits = ExitStack()
        self._proxies: list[Proxy] = []
        self._wanted_servers = servers
        self._addresses: list[str] = []
        """Where the servers listen, past all proxies."""
        self._load: subprocess.Popen[bytes] | None = None

    # --- up and down ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Stage:
        try:
            self._start()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _start(self) -> None:
        self.redis = EmbeddedRedis(self.folder)
        self.redis.launch()
        self._exits.callback(self.redis.stop)
        self.postgres = EmbeddedPostgres(self.folder, settings=_FAST)
        if self.windrow:
            self.postgres.launch()
            self._exits.callback(self.postgres.stop)
        self.redis.ready()
        self.monitor = Monitor(self.redis.port, self.redis.password, self.folder / "monitor")
        self._exits.callback(self.monitor.close)
        self.loop = Loop()
        self._exits.callback(self.loop.stop)
        self.main_proxy = self.proxy()
        self.server_proxies: list[Proxy] = []
        """The ways to the servers, for workers."""
        self.watch = Watch(self.folder / "evidence")
        self._exits.callback(self.watch.stop)
        self._exits.callback(self._end_processes)
        if self.windrow:
            self.postgres.ready()
            records.migrate(self.postgres.url)
            for _ in range(self._wanted_servers):
                self.server()

    def _end_processes(self) -> None:
        for process in [*(worker.process for worker in self.workers), *self.servers, *([self._load] if self._load else [])]:
            with suppress(psutil.NoSuchProcess):
                for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                    with suppress(psutil.NoSuchProcess):
                        each.kill()
            process.wait()

    @property
    def windrow(self) -> bool:
        """Whether Windrow is on the stage; else bare Celery."""
        return self.system == "windrow"

    def proxy(self) -> Proxy:
        """Another way to Redis."""
        made = Proxy(self.loop, self.redis.port)
        self._proxies.append(made)
        return made

    def proxies(self) -> list[Proxy]:
        """All ways to Redis."""
        return self._proxies

    def client(self) -> redis.Redis:
        """A client of the harness's own, past all proxies."""
        return redis.Redis.from_url(self.redis.url, socket_timeout=5)

    # --- processes -----------------------------------------------------------------------------------------------------

    def _environment(self, proxy: Proxy, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        found = {
            **os.environ,
            "REDIS_URL": f"redis://:{self.redis.password}@127.0.0.1:{proxy.port}/0",
            "WINDROW_STATE": str(self.folder / "nowhere"),
            "CHAOS_EVIDENCE": str(self.folder / "evidence"),
            "CHAOS_SYSTEM": self.system,
            "PYTHONPATH": str(ROOT),
            **(extra or {}),
        }
        if self.windrow:
            found["DATABASE_URL"] = self.postgres.url
        return found

    def _clock(self, of: str) -> dict[str, str]:
        """What gives a process a wall clock that can be stepped, if it is to have one."""
        if of != self.clock_of:
            return {}
        return {"PYTHONPATH": f"{ROOT / 'tests/chaos/shim'}{os.pathsep}{ROOT}", "CHAOS_CLOCK": str(self.folder / "clock")}

    def _run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """A process in a session of its own, which dies with the harness."""
        return launch(
            [sys.executable, *command],
            log=self.folder / f"{name}.log",
            death_signal=signal.SIGKILL,
            env=dict(environment),
            cwd=ROOT,
        )

    def server(self, extra: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start another server; workers are told the address of a proxy before it."""
        port = free_port()
        proxy = Proxy(self.loop, port)
        specs = write_spec(self.kind, self.folder / "server.yaml", "chaos")
        address = {"WINDROW_PORT": str(port), "WINDROW_ADVERTISE": f"127.0.0.1:{proxy.port}", "WINDROW_SPECS": str(specs)}
        process = self._run(
            "server",
            [*self.entry, "server"] if self.entry else ["-m", "windrow.server"],
            self._environment(self.main_proxy, {**address, **self._clock("server"), **(extra or {})}),
        )
        self.servers.append(process)
        self._addresses.append(f"127.0.0.1:{port}")
        self.server_proxies.append(proxy)
        return process

    def worker(self, kind: Kind, *, wait: bool = True, extra: Mapping[str, str] | None = None) -> Worker:
        """Start another worker; with `wait`, return when it takes tasks."""
        proxy = self.proxy()
        mark = f"w{proxy.port}@%h"
        command = windrow_command(kind, self.folder, self.entry) if self.windrow else celery_command(kind, mark)
        worker = Worker(
            self._run("workers", command, self._environment(proxy, {**self._clock("worker"), **(extra or {})})), proxy, kind
        )
        self.workers.append(worker)
        if wait:
            self.until(lambda: self.ready(worker), 60, "a worker takes tasks")
        return worker

    def ready(self, worker: Worker) -> bool:
        """Whether it has asked for tasks: it holds a connection on which it waits for them."""
        if worker.process.poll() is not None:
            raise RuntimeError(f"a worker must live, and ended with {worker.process.returncode}; see {self.folder}/workers.log")
        if not self.windrow:
            return len(worker.proxy.links) >= 4
        with suppress(redis.RedisError):
            return any(json.loads(info)["pid"] == worker.process.pid for info in self.client().hvals("windrow:workers"))
        return False

    def alive(self) -> list[Worker]:
        """The workers whose main process runs."""
        return [worker for worker in self.workers if worker.process.poll() is None]

    def top_up(self, kinds: Sequence[Kind]) -> None:
        """Start workers in place of those that have ended, as whoever runs a platform does."""
        missing = list(kinds)
        for worker in self.alive():
            if worker.kind in missing:
                missing.remove(worker.kind)
        if len(self.alive()) < len(kinds):
            for kind in missing:
                self.worker(kind, wait=False)

    # --- the load ------------------------------------------------------------------------------------------------------

    def publish(self, load: Load) -> None:
        """Start the producer."""
        plan = self.folder / "plan.json"
        where = {"until": str(self.folder / "until"), "calls": str(self.folder / "calls"), "seed": self.seed}
        plan.write_text(json.dumps(load.plan(**where)), encoding="utf-8")
        self._load = self._run("load", ["-m", "tests.chaos.load", str(plan)], self._environment(self.main_proxy))

    def publishing(self, count: int) -> bool:
        """Whether the producer has made fewer calls than so many, and still makes some."""
        path = self.folder / "calls"
        made = path.read_bytes().count(b"\taccepted\t") if path.exists() else 0
        return made < count and self._load is not None and self._load.poll() is None

    def end_load(self, timeout: float) -> None:
        """Let the producer end once it has made all its calls."""
        (self.folder / "until").touch()
        assert self._load is not None
        if self._load.wait(timeout):
            raise RuntimeError(
                f"the producer must end well, and ended with {self._load.returncode}; see {self.folder}/load.log"
            )

    # --- waiting and writing down ----------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], Any], timeout: float, what: str) -> Any:
        """Poll until it is true; raises TimeoutError, naming `what`."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} must happen within {timeout:.0f} s; see {self.folder}")
            time.sleep(0.02)
        return found

    def kill(self, pids: Sequence[int], number: int = signal.SIGKILL) -> None:
        """End processes, and with them what descends from them; what runs in them was killed by the harness."""
        doomed = set(pids)
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                doomed |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
        self.doom(doomed)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def doom(self, pids: Sequence[int] | set[int]) -> None:
        """What dies of these from now on, dies by the harness's hand."""
        self.struck += 1
        self.killed += 1
        for pid in pids:
            self.kills.setdefault(pid, time.monotonic())
            self.watch.see(pid, time.monotonic())

    def stop_all(self) -> None:
        """Let workers and servers end in order."""
        for process in [*(worker.process for worker in self.workers), *self.servers]:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 15
        for process in [*(worker.process for worker in self.workers), *self.servers]:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))

    def accounts(self) -> list[totals.Pair]:
        """The exact totals beside what the leading server tells of them; call it while servers run."""
        return [totals.kept_and_exported(self.postgres.url, self._addresses)] if self.windrow else []

    def log(self, expected: Mapping[str, str], accounts: Sequence[totals.Pair]) -> Log:
        """The log of the run; call it when all has ended."""
        end = time.monotonic()
        self.watch.stop()
        self.monitor.close()
        source = told if self.windrow else results
        return Log(
            calls=read_calls(self.folder / "calls"),
            lines=read_lines(self.folder / "evidence"),
            told=list(source(self.folder / "monitor", self.clock)),
            recorded=records.states(self.postgres.url) if self.windrow else None,
            deaths=dict(self.watch.deaths),
            kills=dict(self.kills),
            frozen=list(self.frozen),
            outages=list(self.outages),
            expected=expected,
            lost=list(self.lost),
            end=end,
            accounts=[*accounts, totals.kept_and_counted(self.postgres.url)] if self.windrow else (),
        )
