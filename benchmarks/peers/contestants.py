"""The contestants: how each starts its worker for each kind of work, and what its documentation says of kill -9."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import venv
from benchmarks.sides import LOG_LEVEL, WINDROW, log
from benchmarks.stack import Stack

SPEC = """apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {name: bench}
spec: {queue: bench, app: 'benchmarks.peers.windrowed_tasks:app', pool: %s, concurrency: %d}
"""


@dataclass(frozen=True)
class Way:
    """How a worker is started for one kind of work: arguments after its Python, its environment, and both in words."""

    arguments: tuple[str, ...]
    settings: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """One contestant. `kept` and `killed` are what its documentation says, with the page in a comment below."""

    name: str
    module: str
    packages: tuple[str, ...]
    ways: Mapping[str, Way]
    """By kind of work: `noop`, `wait50`, `kill`."""
    kept: str
    killed: str
    interpreter: Callable[[], Path] = lambda: Path(sys.executable)
    patience: float = 30.0
    """Seconds without any movement after which a round with kill -9 is over: above the time that its recovery takes."""
    times: int = 1
    """How many times as many no-op tasks it gets as the others: too short a turn can't be timed."""
    on_redis: bool = True

    @property
    def version(self) -> str:
        """Its release."""
        return venv.version(self.interpreter(), *self.packages)

    def command(self, stack: Stack, kind: str) -> list[str]:
        """The worker's command."""
        arguments = [part.replace("{folder}", str(stack.folder)) for part in self.ways[kind].arguments]
        if self.module == "windrowed_tasks":
            for pool, slots in (("prefork", 2), ("asyncio", 100)):
                (stack.folder / f"{pool}.yaml").write_text(SPEC % (pool, slots))
        return [str(self.interpreter()), *(part.replace("{python}", str(self.interpreter())) for part in arguments)]

    @contextmanager
    def services(self, stack: Stack) -> Iterator[list[int]]:
        """What runs beside its worker: Windrow's server; the others have none."""
        with WINDROW.services(stack) if self.module == "windrowed_tasks" else nullcontext([]) as pids:
            yield pids


def _peers() -> Path:
    return venv.python("peers")


def _arq() -> Path:
    return venv.python("arq")


def _celery(pool: str, slots: int) -> tuple[str, ...]:
    app = "benchmarks.peers.celery_tasks"
    return ("-m", "celery", "-A", app, "worker", "-P", pool, "-c", str(slots), "-Q", "bench", "-l", LOG_LEVEL)


def _dramatiq(processes: int, threads: int) -> tuple[str, ...]:
    return ("-m", "dramatiq", "-p", str(processes), "-t", str(threads), "benchmarks.peers.dramatiq_tasks")


def _taskiq(workers: int, tasks: int) -> tuple[str, ...]:
    sizes = ("--workers", str(workers), "--max-async-tasks", str(tasks), "--log-level", LOG_LEVEL)
    return ("-m", "taskiq", "worker", *sizes, "benchmarks.peers.taskiq_tasks:broker")


def _windrow(pool: str) -> tuple[str, ...]:
    return ("-m", "windrow.cli", "worker", "bench", "-f", "{folder}/" + pool + ".yaml")


ARQ = ("-m", "arq", "benchmarks.peers.arq_tasks.WorkerSettings")
PROCRASTINATE = (
    "-m",
    "procrastinate",
    "--app",
    "benchmarks.peers.procrastinate_tasks.app",
    "--log-level",
    LOG_LEVEL.lower(),
    "worker",
)
TWICE = ("-m", "benchmarks.peers.copies", "2", "{python}")
RQ_POOL = ("-m", "rq.cli", "worker-pool", "-n", "2", "-w", "rq.worker.SimpleWorker", "-q", "bench")
RQ_TWO = ("-m", "rq.cli", "worker", "-w", "rq.worker.SimpleWorker", "-q", "bench")
KILL = {"BENCH_KILL": "1"}

WINDROW_PEER = Peer(
    "Windrow",
    "windrowed_tasks",
    ("windrow",),
    {
        "noop": Way(_windrow("prefork"), "prefork 2", WINDROW.settings),
        "wait50": Way(_windrow("asyncio"), "asyncio 100, one process", WINDROW.settings),
        "kill": Way(_windrow("prefork"), "prefork 2, its server running", WINDROW.settings),
    },
    times=5,
    kept="every execution and attempt with times, states, error and message, in PostgreSQL",  # docs/records.md
    killed="given back after 8 s of silence, by its server",  # docs/keys-and-events.md
)
# Early acknowledgement, the visibility timeout and results: docs.celeryq.dev, "Using Redis" and "Tasks".
_CELERY_KEPT = "nothing (a result, if a result backend is set)"
CELERY = Peer(
    "Celery",
    "celery_tasks",
    ("celery",),
    {
        "noop": Way(_celery("prefork", 2), "prefork 2, prefetch multiplier 64", {"BENCH_PREFETCH": "64"}),
        "wait50": Way(_celery("threads", 100), "threads 100, one process"),
        "kill": Way(_celery("prefork", 2), "prefork 2, default early acknowledgement"),
    },
    kept=_CELERY_KEPT,
    killed="what ran is gone; what was taken ahead comes back after the visibility timeout, an hour by default",
)
CELERY_LATE = Peer(
    "Celery, acks_late",
    "celery_tasks",
    ("celery",),
    {"kill": Way(_celery("prefork", 2), "prefork 2, acks_late, visibility_timeout 8 s", {"BENCH_LATE": "1"})},
    kept=_CELERY_KEPT,
    # kombu's Redis transport looks for it when a worker starts, and then each 100 s.
    killed="comes back after the visibility timeout (an hour by default); a task that takes longer than it runs twice",
    patience=115.0,
)
# dramatiq.io/guide.html (workers; "--processes", "--threads"), /reference.html (RedisBroker, Results).
DRAMATIQ = Peer(
    "Dramatiq",
    "dramatiq_tasks",
    ("dramatiq",),
    {
        "noop": Way(
            _dramatiq(2, 1), "2 processes of 1 thread, dramatiq_queue_prefetch 100", {"dramatiq_queue_prefetch": "100"}
        ),
        "wait50": Way(_dramatiq(2, 50), "2 processes of 50 threads"),
        "kill": Way(_dramatiq(2, 1), "2 processes of 1 thread, heartbeat_timeout 8 s", KILL),
    },
    kept="nothing (a result, with its Results middleware); dead letters for 7 days",
    killed="requeued by another worker's maintenance after heartbeat_timeout, 60 s by default",
    interpreter=_peers,
    times=5,
)
# python-rq.org/docs/workers ("each worker will process a single job at a time", worker pool), /docs/results, /docs/exceptions.
RQ = Peer(
    "RQ",
    "rq_tasks",
    ("rq",),
    {
        "noop": Way(RQ_POOL, "worker-pool of 2, SimpleWorker (no fork for each job)"),
        "wait50": Way(RQ_POOL, "worker-pool of 2: no concurrency inside a worker"),
        "kill": Way(
            (*TWICE, *RQ_TWO, "--maintenance-interval", "5", "--job-monitoring-interval", "1", "--worker-ttl", "20"),
            "2 workers, SimpleWorker, Retry(max=3), job_timeout 5 s, maintenance every 5 s, worker-ttl 20 s",
            KILL,
        ),
    },
    kept="job, times, result or traceback in Redis: 500 s after success, a year after failure",
    killed="failed by maintenance (every 10 minutes by default) 60 s after its timeout (180 s); run again if it has retries",
    interpreter=_peers,
    patience=80.0,
)
# arq-docs.helpmanual.io: "Pessimistic execution", Worker(max_jobs, poll_delay, keep_result, job_timeout).
ARQ_PEER = Peer(
    "arq",
    "arq_tasks",
    ("arq",),
    {
        "noop": Way(ARQ, "max_jobs 100, poll_delay 0.01, one process: a second one makes no more", {"BENCH_SLOTS": "100"}),
        "wait50": Way(ARQ, "max_jobs 100, poll_delay 0.01, one process", {"BENCH_SLOTS": "100"}),
        "kill": Way(ARQ, "max_jobs 2, job_timeout 1 s", {"BENCH_SLOTS": "2", **KILL}),
    },
    kept="arguments, times and result or error in Redis, for an hour",
    killed="stays in the queue and runs again when its in-progress key ends, 10 s after job_timeout (300 s by default)",
    interpreter=_arq,
)
# taskiq-python.github.io/guide/cli.html; github.com/taskiq-python/taskiq-redis (RedisStreamBroker).
TASKIQ = Peer(
    "Taskiq",
    "taskiq_tasks",
    ("taskiq", "taskiq-redis"),
    {
        "noop": Way(_taskiq(2, 100), "RedisStreamBroker, 2 workers, max-async-tasks 100, uvloop"),
        "wait50": Way(_taskiq(1, 100), "RedisStreamBroker, 1 worker, max-async-tasks 100, uvloop"),
        "kill": Way(_taskiq(2, 1), "RedisStreamBroker, 2 workers of 1 task, idle_timeout 8 s", KILL),
    },
    kept="nothing (a result, if a result backend is set); its stream is not trimmed by default",
    killed="claimed again after idle_timeout, 10 minutes by default, once other messages arrive; a longer task runs twice",
    interpreter=_peers,
    times=5,
)
# procrastinate.readthedocs.io: howto/advanced/concurrency, howto/production/delete_finished_jobs, .../retry_stalled_jobs.
PROCRASTINATE_PEER = Peer(
    "Procrastinate",
    "procrastinate_tasks",
    ("procrastinate",),
    {
        "noop": Way(PROCRASTINATE, "concurrency 20, one process: a second one makes no more", {"BENCH_SLOTS": "20"}),
        "wait50": Way(PROCRASTINATE, "concurrency 100, one process", {"BENCH_SLOTS": "100"}),
        "kill": Way(
            PROCRASTINATE, "concurrency 2, heartbeat 2 s, stalled after 8 s, its recipe every 5 s", {"BENCH_SLOTS": "2", **KILL}
        ),
    },
    kept="every job with arguments, status, attempts and the times of its events, in PostgreSQL; no error text",
    killed="stays `doing` for ever, unless a periodic task of one's own retries stalled jobs (the recipe is in its docs)",
    interpreter=_peers,
    on_redis=False,
)
PEERS = {peer.name: peer for peer in (WINDROW_PEER, CELERY, CELERY_LATE, DRAMATIQ, RQ, ARQ_PEER, TASKIQ, PROCRASTINATE_PEER)}
"""All contestants, in the table's order."""


def worker_log(stack: Stack, peer: Peer) -> Path:
    """Where its worker logs."""
    return log(stack, f"{peer.module}-worker")
