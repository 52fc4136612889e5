"""Rows in which Redis, PostgreSQL or Windrow's servers are away or lose what they held."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tests.chaos import outages
from tests.chaos.load import Load
from tests.chaos.loads import BUSY, EIGHTS, FOURS, MIXED, NO_RECORDS, ONCE
from tests.chaos.proxy import CUT, REFUSE
from tests.chaos.row import Limit, Row, a_slot_each, lost_tail, once_each_slot


def redis() -> list[Row]:
    waits = "while Redis doesn't answer the leader either, it says so, and no silence counts: tasks go on"
    rows = []
    for seconds, blows in ((5, 3), (30, 1), (60, 1)):
        long = tuple(round(seconds * share / 8, 1) for share in range(2, 13))
        load = Load("awork", rate=40, long=long)
        for name, said, play in (
            ("frozen", "frozen", partial(outages.freeze_redis, seconds=seconds)),
            ("cut", "cut from all", partial(outages.cut_redis, seconds=seconds, mode=CUT)),
        ):
            fault = f"Redis {said} for {seconds} s, with tasks of up to {long[-1]:g} s running"
            short = name == "frozen" and seconds == 5
            rows.append(
                Row(f"{name}-{seconds}", fault, play, waits, load, MIXED, blows, ONCE, settle_s=120, weight=0.6, short=short)
            )
    refuse = partial(outages.cut_redis, seconds=10, mode=REFUSE)
    one = {"interrupted": a_slot_each, "repeated": a_slot_each}
    kept = "nothing is lost that Redis had written; workers say again what was not answered"
    back = "workers put back what they hold before anybody takes; the reconciler rebuilds the rest from the records"
    lost: Mapping[str, Limit] = {"missing": lost_tail, "missing_durable": 0, "finished_twice": 0}
    return [
        *rows,
        Row("refused-10", "Redis refuses connections for 10 s", refuse, waits, Load("awork", rate=40), MIXED, 2, ONCE),
        Row(
            "one-5",
            "Redis cut from one worker for 5 s",
            partial(outages.cut_one, seconds=5, server_too=False),
            "the lease of 8 s",
            Load(rate=25, seconds=(0.05, 0.2, 1.0)),
            FOURS,
            4,
            ONCE,
            weight=0.6,
        ),
        Row(
            "one-60",
            "Redis and the server cut from one worker for 60 s",
            partial(outages.cut_one, seconds=60, server_too=True),
            "its deadline passes without anybody's word: it kills its children before others start again",
            BUSY,
            EIGHTS,
            1,
            one,
            weight=0.5,
        ),
        Row("restart", "Redis kill -9 and restart", outages.restart_redis, kept, blows=4, limits=ONCE, short=True),
        Row(
            "lost-second",
            "Redis kill -9 and restart with the last second cut off the AOF",
            partial(outages.restart_redis, lose=1.0),
            back,
            Load(durable=True),
            blows=3,
            limits=lost,
            settle_s=150,
        ),
        Row(
            "emptied",
            "Redis emptied under load",
            outages.empty_redis,
            back,
            Load(durable=True),
            blows=2,
            limits={"missing": lost_tail, "missing_durable": 0, "stuck": 0},
            settle_s=150,
        ),
    ]


def platform() -> list[Row]:
    stream = "workers need no PostgreSQL; the event stream keeps what the recorder has not written"
    once = "one server leads at a time; each event counts once, with the stream's position in the same transaction"
    options = {"limits": ONCE, "celery": NO_RECORDS, "settle_s": 90.0}
    stop = partial(outages.stop_postgres, seconds=120)
    return [
        Row("postgres", "PostgreSQL killed", outages.kill_postgres, stream, blows=4, **options),
        Row("postgres-120", "PostgreSQL stopped 2 minutes", stop, stream, Load(rate=20), blows=1, weight=0.5, **options),
        Row(
            "servers",
            "recorder, dispatcher, recovery killed; two of each",
            outages.kill_servers,
            once,
            Load(rate=20, durable=True),
            blows=10,
            limits={"repeated": once_each_slot},
            servers=2,
            celery=NO_RECORDS,
            settle_s=90,
        ),
    ]
