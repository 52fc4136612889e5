"""Breaks one rule of Windrow at a time, to show that the checker sees it: `python -m tests.chaos.broken`.

What starts through `python -m tests.chaos.broken RULE worker NAME -f FILE` (or `RULE server`) has one rule taken out of it, by
replacing what stands in its modules before they are used; Windrow itself has no switch for that.

- `take`: a message is taken out of its list in one step and noted as in flight in the next.
- `lease`: a worker never believes that its lease has ended.
- `fence`: a worker whose lease has ended goes on, and what it finished late is accepted.
- `fold`: the recorder counts an attempt that died twice into the totals, though it has one row.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from tests.chaos import outages
from tests.chaos.load import Load
from tests.chaos.play import play
from tests.chaos.report import table
from tests.chaos.row import Row
from tests.chaos.rows import ROWS

_CUT = replace(
    ROWS["one-60"],
    fault="Redis and the server cut from one worker for 15 s",
    play=partial(outages.cut_one, seconds=15, server_too=True),
    load=Load(count=60, rate=1.8, seconds=(0.1, 0.2, 20.0)),
)
_TAKE = replace(ROWS["worker-take"], load=replace(ROWS["worker-take"].load, count=200), blows=4, settle_s=25.0)
SEEN: Mapping[str, tuple[Row, str]] = {
    "take": (_TAKE, "missing"),
    "lease": (_CUT, "overlapping"),
    "fence": (_CUT, "finished_twice"),
    "fold": (ROWS["child"].shortened(), "apart"),
}
"""For each rule the row that is played without it, and the figure that must tell."""


def change_script(name: str, *changes: tuple[str, str]) -> None:
    """Have the workers of this process send another text in place of a script of theirs."""
    from windrow.broker import scripts

    original = scripts._text

    def text(asked: str) -> str:
        found = original(asked)
        for old, new in changes if asked == name else ():
            if old not in found:
                raise ValueError(f"{name}.lua must hold what is to be changed, {old!r}")
            found = found.replace(old, new)
        return found

    scripts._text = text


def break_take() -> None:
    """Redis gives the message out; only the answer's reader notes it in the in-flight set."""
    from windrow.broker.taker import Taker

    change_script("sync", ("if #values > 0 then redis.call('HSET', KEYS[2], unpack(values)) end", ""))
    answer = Taker._answer

    def slowly(self: Any, reply: list[Any]) -> None:
        if reply[0] == 1 and reply[2]:
            first = self.inflight.next_tag
            noted = {first + number: value for number, value in enumerate(reply[2])}
            import redis

            redis.Redis.from_url(os.environ["REDIS_URL"]).hset(self.sync_keys[1], mapping=noted)
        answer(self, reply)

    Taker._answer = slowly  # type: ignore[method-assign]


def break_lease() -> None:
    """Each answered beat is believed for ever."""
    from windrow.broker import lease

    lease.HOLD_SECONDS = 1e9


def break_fence() -> None:
    """Nobody heeds the deadline, and Redis believes who was declared dead."""
    from windrow.broker import fence
    from windrow.worker import warden

    change_script(
        "sync",
        ("if redis.call('HGET', KEYS[1], worker) ~= ARGV[2] then return {0} end", ""),
        ("    if redis.call('HDEL', KEYS[2], tag) == 1 then", "    redis.call('HDEL', KEYS[2], tag)\n    if true then"),
    )
    change_script("resume", ("if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return {0} end", ""))
    change_script("beat", ("return {0", "return {1"))
    fence.pass_or_end = lambda: None
    fence.Fence.passed = property(lambda self: False)  # type: ignore[assignment, method-assign]
    warden.post = lambda of: None


def break_fold() -> None:
    """Rows and totals are still written in one transaction, but no longer say the same."""
    from windrow.records import fold

    end = fold._Fold._end_attempt

    def counting(self: Any, row: Any, identity: Any, event: Any) -> Any:
        attempt = end(self, row, identity, event)
        if attempt is not None and attempt.outcome == "killed":
            self.rows.totals[(fold.ATTEMPTS, attempt.queue, attempt.task, "")] += 1
        return attempt

    fold._Fold._end_attempt = counting  # type: ignore[method-assign]


RULES: Mapping[str, tuple[str, Callable[[], None]]] = {
    "take": ("worker", break_take),
    "lease": ("worker", break_lease),
    "fence": ("worker", break_fence),
    "fold": ("server", break_fold),
}
"""Each rule: who keeps it, and how it is taken out."""


def show(rules: list[str]) -> int:
    """Play the row of each rule without the rule; 0 when the checker saw every one missing."""
    played, unseen = [], []
    for rule in rules:
        row, figure = SEEN[rule]
        found = play(replace(row, entry=("-m", "tests.chaos.broken", rule)), "windrow", int(time.time()))
        found["fault"] = f"without the {rule}: {row.fault}"
        played.append(found)
        if not found[figure]:
            unseen.append(f"without the {rule}, {figure} must be more than 0, and is 0")
    print(table(played))
    print("\n".join(unseen) or "the checker sees each")
    return 1 if unseen else 0


def main() -> int:
    """Show what the checker sees, or be a broken worker or server."""
    if len(sys.argv) > 2 and sys.argv[2] in ("worker", "server"):
        whose, take_out = RULES[sys.argv[1]]
        if whose == sys.argv[2]:
            take_out()
        from windrow.cli.group import run

        return run(sys.argv[2:])
    return show(sys.argv[1:] or list(RULES))


if __name__ == "__main__":
    sys.exit(main())
