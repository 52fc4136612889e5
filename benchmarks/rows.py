"""The rows of `make bench`: what each runs and what it must reach.

A row is a function from a `Bench` to a `Row`. To add one, write it in a module of its own and name it below.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from benchmarks import backlog, canvas, delays, idle, idle_latency, mixed_long, publish, recorder, startup, throughput, waits
from benchmarks.measure import summarise
from benchmarks.produce import COROUTINES
from benchmarks.report import Check, Goal, Row, throughput_row
from benchmarks.sides import BARE, WINDROW, Side
from benchmarks.stack import Stack


@dataclass(frozen=True)
class Bench:
    """One run: the servers that both sides share, and how much is done."""

    stack: Stack
    rounds: int
    """Turns of each side."""
    tasks: int
    """No-op tasks of a turn; a row of longer tasks takes a fraction of it."""
    idle_seconds: float
    """How long `idle_core_pct` and `recorder` watch."""

    def say(self, line: str) -> None:
        """Progress goes to stderr; stdout holds the table alone."""
        print(line, file=sys.stderr, flush=True)


def noop_prefork2(bench: Bench) -> Row:
    """No-op tasks on two slots."""
    stack, tasks = bench.stack, bench.tasks
    bare, tried = throughput.best_bare(stack, "noop", tasks // 2, bench.say)
    turns = throughput.alternate(stack, bare, WINDROW, "noop", tasks, bench.rounds, bench.say)
    row = throughput_row("noop_prefork2", turns, Goal(2.0, stretch=(4.0, 0.3, 0.2), cpu=0.5, trips=0.5))
    return _with_bare(row, bare.name, tried, tasks)


def db_prefork2(bench: Bench) -> Row:
    """The reference's database task on two slots; a tenth of the tasks, each is that much longer."""
    stack, tasks = bench.stack, max(bench.tasks // 10, 50)
    bare, tried = throughput.best_bare(stack, "database", max(tasks // 2, 50), bench.say)
    turns = throughput.alternate(stack, bare, WINDROW, "database", tasks, bench.rounds, bench.say)
    row = throughput_row("db_prefork2", turns, Goal(3.0, stretch=(5.0,)))
    return _with_bare(row, bare.name, tried, tasks)


def _on_pools(bench: Bench, key: str, bare: Side, windrow: Side, task: str, counts: tuple[int, int], goal: Goal) -> Row:
    turns = throughput.alternate(bench.stack, bare, windrow, task, counts[1], bench.rounds, bench.say, counts[0])
    row = throughput_row(key, turns, goal)
    extra = {**row.extra, "tasks": counts[1], "bare_tasks": counts[0], "bare_variant": f"{bare.pool} {bare.slots}, {bare.name}"}
    return Row(row.key, row.unit, row.windrow, row.checks, row.bare, extra)


def noop_threads2(bench: Bench) -> Row:
    """No-op tasks on two threads of one process."""
    bare, windrow = replace(BARE[0], pool="threads"), replace(WINDROW, pool="threads")
    return _on_pools(bench, "noop_threads2", bare, windrow, "noop", (bench.tasks // 2, bench.tasks), Goal(2.0, stretch=(5.0,)))


def noop_asyncio2(bench: Bench) -> Row:
    """No-op coroutines, two at a time, against bare Celery's two threads."""
    bare = replace(BARE[0], pool="threads")
    windrow = replace(WINDROW, pool="asyncio", tasks={"noop": "noop_async"})
    return _on_pools(bench, "noop_asyncio2", bare, windrow, "noop", (bench.tasks // 2, bench.tasks), Goal(2.0, stretch=(5.0,)))


def db_asyncio20(bench: Bench) -> Row:
    """The reference's database task as a coroutine, 20 at a time in one process, against two prefork slots."""
    windrow = replace(WINDROW, pool="asyncio", slots=20, tasks={"database": "database_async"})
    counts = (max(bench.tasks // 20, 50), max(bench.tasks // 4, 200))
    return _on_pools(bench, "db_asyncio20", BARE[0], windrow, "database", counts, Goal(4.0, stretch=(8.0,)))


def wait50_asyncio100(bench: Bench) -> Row:
    """Tasks that wait 50 ms, 100 at a time in one process, against two prefork slots."""
    windrow = replace(WINDROW, pool="asyncio", slots=100)
    counts = (max(bench.tasks // 20, 50), bench.tasks)
    return _on_pools(bench, "wait50_asyncio100", BARE[0], windrow, "wait50", counts, Goal(30.0, stretch=(45.0,)))


def publish_row(bench: Bench) -> Row:
    """`delay()` in one process, and `adelay()` in coroutines of one."""
    turns = publish.turns(bench.stack, bench.tasks, bench.rounds, bench.say)
    bare, windrow = summarise(turns["bare"]), summarise(turns["windrow"])
    awaited = summarise(turns["awaited"])
    checks = (
        Check("× bare", windrow.median / bare.median, 0.9, at_least=True),
        Check("× bare, adelay()", awaited.median / bare.median, 0.9, at_least=True),
    )
    extra = {"tasks": bench.tasks, "stretch": 1.5, "adelay": asdict(awaited), "adelay_coroutines": COROUTINES}
    return Row("publish", "calls/s", windrow, checks, bare, extra)


def canvas_row(bench: Bench) -> Row:
    """200 chords of 20 on two prefork slots, results in Redis."""
    count = max(bench.tasks // 20, 10)
    turns = canvas.turns(bench.stack, count, bench.rounds, bench.say)
    bare, windrow = summarise(turns["bare"]), summarise(turns["windrow"])
    check = Check("× bare", windrow.median / bare.median, 1.0, at_least=True)
    return Row("canvas", "chords/s", windrow, (check,), bare, {"chords": count, "header": canvas.HEADER, "stretch": 2.0})


def recorder_row(bench: Bench) -> Row:
    """Lifecycles that the server records from a full stream, and what it costs at 1,000 a second."""
    fast = recorder.turn(bench.stack, bench.idle_seconds, max(bench.rounds, 1), 0.0, bench.say)
    paced = recorder.turn(bench.stack, bench.idle_seconds / 2, 1, 1000.0, bench.say)
    checks = (
        Check("lifecycles/s", fast.per_s, 5000.0, at_least=True),
        Check("server's cores at 1,000/s", paced.server, 1 / 3, at_least=False),
    )
    extra = {"stretch": 15_000, "fast": asdict(fast), "at_1000": asdict(paced)}
    return Row("recorder", "lifecycles/s", summarise(fast.slices), checks, extra=extra)


def idle_latency_row(bench: Bench) -> Row:
    """From a call to its start on 1 and on 20 idle workers of one slot."""
    found = idle_latency.turns(bench.stack, bench.rounds, bench.say)
    sides = {who: {name: summarise(values) for name, values in figures.items()} for who, figures in found.items()}
    checks = [
        Check(f"{name} ms, {n} idle", sides[f"windrow {n}"][name].median, sides[f"bare {n}"][name].median, at_least=False)
        for n in (1, 20)
        for name in ("p50", "p99")
    ]
    checks.append(Check("Redis commands a call, 20 idle", sides["windrow 20"]["commands"].median, 5.0, at_least=False))
    extra = {"waits_ms": {who: {name: asdict(value) for name, value in of.items()} for who, of in sides.items()}}
    return Row("idle_latency", "ms, p50, 20 idle", sides["windrow 20"]["p50"], tuple(checks), sides["bare 20"]["p50"], extra)


def mixed_long_row(bench: Bench) -> Row:
    """How long short tasks wait where one in a hundred takes 5 s."""
    found = mixed_long.turns(bench.stack, bench.rounds, bench.say)
    p99 = {who: summarise(figures["p99"]) for who, figures in found.items()}
    checks = tuple(
        Check(f"p99 ms, bare {who}", p99["windrow"].median, p99[who].median, at_least=False)
        for who in ("multiplier 4", "multiplier 1")
    )
    extra = {"waits_ms": {who: {name: asdict(summarise(v)) for name, v in of.items()} for who, of in found.items()}}
    return Row("mixed_long", "ms, p99 of the short", p99["windrow"], checks, p99["multiplier 1"], extra)


def backlog_row(bench: Bench) -> Row:
    """A million ready tasks: memory of each in Redis, and the pace of the first takes against a short queue's."""
    takes, ready = bench.tasks // 2, bench.tasks * 250
    turns = backlog.turns(bench.stack, takes, ready, bench.rounds, bench.say)
    parts = ("bytes_per_task", "stream_bytes_per_task", "short", "long", "flat")
    found = {side: {part: summarise([getattr(turn, part) for turn in of]) for part in parts} for side, of in turns.items()}
    bare, windrow = found["bare"], found["windrow"]
    checks = (
        Check("× bare bytes", windrow["bytes_per_task"].median / bare["bytes_per_task"].median, 1.1, at_least=False),
        Check("× a short queue's tasks/s", windrow["flat"].median, 0.9, at_least=True),
    )
    figures = {side: {part: asdict(summary) for part, summary in of.items()} for side, of in found.items()}
    extra = {"ready": ready, "takes": takes, "figures": figures}
    return Row("backlog", "bytes/task", windrow["bytes_per_task"], checks, bare["bytes_per_task"], extra)


def delays_row(bench: Bench) -> Row:
    """How late delayed tasks are while 100,000 wait; one turn, it takes two minutes."""
    found = delays.turn(bench.stack, bench.say)
    late = {who: [seconds * 1000 for seconds in of] for who, of in (("worker", found.started), ("leader", found.ready))}
    checks = [
        Check(f"p99 ms late, {where}", waits.quantile(late[who], 0.99), 1000.0, at_least=False)
        for who, where in (("worker", "started on a worker"), ("leader", "ready without one"))
    ]
    early = sum(ms < -1 for of in late.values() for ms in of)
    checks.append(Check("started early", early, 0.0, at_least=False))
    extra = {
        "waiting": delays.WAITING,
        "measured": delays.MEASURED,
        "late_ms": {who: {f"p{q}": waits.quantile(of, q / 100) for q in (50, 90, 99, 100)} for who, of in late.items()},
    }
    return Row("delays", "ms late, p50", summarise([waits.quantile(late["worker"], 0.5)]), tuple(checks), extra=extra)


def start_s(bench: Bench) -> Row:
    """`windrow up` on an empty state folder to the first finished task."""
    starts = startup.turns(bench.rounds, bench.say)
    found = summarise([finished for finished, _ in starts])
    recorded = summarise([recorded for _, recorded in starts])
    check = Check("s", found.median, 8.0, at_least=False)
    return Row("start_s", "s", found, (check,), extra={"recorded_s": recorded.median})


def idle_core_pct(bench: Bench) -> Row:
    """The whole platform at rest with a worker on each queue."""
    share = idle.core_percent(bench.idle_seconds, bench.say)
    found = summarise([share.percent])
    check = Check("% of a core", found.median, 3.0, at_least=False)
    return Row("idle_core_pct", "% of a core", found, (check,), extra={"by_process": share.by_process})


def _with_bare(row: Row, variant: str, tried: dict[str, list[float]], tasks: int) -> Row:
    extra = {**row.extra, "tasks": tasks, "bare_variant": variant, "bare_tried_tasks_per_s": tried}
    return Row(row.key, row.unit, row.windrow, row.checks, row.bare, extra)


ROWS: dict[str, Callable[[Bench], Row]] = {
    "noop_prefork2": noop_prefork2,
    "db_prefork2": db_prefork2,
    "noop_threads2": noop_threads2,
    "noop_asyncio2": noop_asyncio2,
    "db_asyncio20": db_asyncio20,
    "wait50_asyncio100": wait50_asyncio100,
    "publish": publish_row,
    "canvas": canvas_row,
    "recorder": recorder_row,
    "idle_latency": idle_latency_row,
    "mixed_long": mixed_long_row,
    "backlog": backlog_row,
    "delays": delays_row,
    "start_s": start_s,
    "idle_core_pct": idle_core_pct,
}
"""Every row by its key, in the order in which they run."""
