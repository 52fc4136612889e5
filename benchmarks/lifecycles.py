"""Fills the event stream as producers and workers do, as fast as the recorder drains it or at a given rate.

A process of its own (`python -m benchmarks.lifecycles`), so that its CPU is told apart. Each lifecycle is one entry of
its acceptance with the message (`publish.lua`), and, `BEHIND` lifecycles later, `started` and `ended` among those of
`TOGETHER` tasks in one entry (`sync.lua`). All text is made ahead; ids and times of fixed length are put in.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import time
import uuid

import redis

from windrow.broker import events
from windrow.broker.publication import accepted

QUEUE = "bench-recorder"
TOGETHER = 16
"""Tasks whose start and end one worker tells of in one call."""

BEHIND = 128
"""Lifecycles between an acceptance and its end, so that some lie in two batches of the recorder."""

BURST = 8
"""Entries of `sync` written in one round trip."""

_ID, _ATTEMPT, _TASK, _AT = (text * length for text, length in (("A", 36), ("B", 36), ("C", 36), ("9", 10)))
_HOLES = {_ID: b"%(id)b", _ATTEMPT: b"%(attempt)b", _TASK: b"%(task)b", f"{_AT}.5": b"%(at)b"}


def _message() -> str:
    """A message of one no-op task, as Celery writes it."""
    body = base64.b64encode(
        json.dumps([[1, "two"], {"three": 3}, dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))]).encode()
    )
    headers = {
        "lang": "py", "task": "bench.noop", "id": _TASK, "shadow": None, "eta": None, "expires": None, "group": None,
        "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": _TASK, "parent_id": None,
        "argsrepr": "(1, 'two')", "kwargsrepr": "{'three': 3}", "origin": "gen1234@bench-host", "ignore_result": True,
        "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
        "windrow": {"v": 1, "id": _ID, "at": float(f"{_AT}.5")},
    }  # fmt: skip
    properties = {
        "correlation_id": _TASK, "reply_to": str(uuid.uuid4()), "delivery_mode": 2, "priority": 0, "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": QUEUE}, "delivery_tag": _TASK,
    }  # fmt: skip
    return json.dumps(
        {
            "body": body.decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": properties,
        }
    )


def _template(text: str) -> bytes:
    made = text.replace("%", "%%").encode()
    for hole, name in _HOLES.items():
        made = made.replace(hole.encode(), name)
    return made


def _acceptance(stream: str) -> bytes:
    message = _message()
    raw = json.loads(message)
    at = float(f"{_AT}.5")
    event = accepted(_ID, raw["headers"], raw["properties"], QUEUE, at)
    return _template(_command("XADD", stream, "*", "v", "1", "e", f"[{events.encode(event)}]", "m", message))


def _run() -> tuple[bytes, int]:
    """`started` and `ended` of one task, and their length once the holes are filled."""
    common = {"id": _ID, "t": float(f"{_AT}.5"), "attempt": _ATTEMPT, "queue": QUEUE, "task": "bench.noop"}
    worker = {"worker": "celery@bench-host/4711/abcdefgh", "pid": 4711, "retries": 0}
    nothing = dict.fromkeys(("error", "message", "traceback", "result", "reason", "due"))
    told = [
        {"k": events.STARTED, **common, **worker, "wait": 0.012345},
        {"k": events.ENDED, **common, "outcome": "success", "state": "success", **worker, "started": float(f"{_AT}.5"),
         "run": 0.000123,
         "wait": 0.012345, **nothing},
    ]  # fmt: skip
    text = ",".join(map(events.encode, told))
    return _template(text), len(text) + 5 * text.count(f"{_AT}.5")


def _command(*words: str) -> str:
    return f"*{len(words)}\r\n" + "".join(f"${len(word.encode()) + 5 * word.count(f'{_AT}.5')}\r\n{word}\r\n" for word in words)


class Source:
    """Bursts of entries as bytes for Redis."""

    def __init__(self, stream: str) -> None:
        self._acceptance = _acceptance(stream)
        self._run, length = _run()
        self._end = _command("XADD", stream, "*", "v", "1", "e", "").encode().removesuffix(b"$0\r\n\r\n")
        self._end += b"$%d\r\n[" % (TOGETHER * (length + 1) + 1)
        self._waiting: list[dict[bytes, bytes]] = []
        self.told = 0
        """Lifecycles that are complete."""

    def burst(self) -> tuple[bytes, int]:
        """The next entries: as many acceptances as ends, and how many entries."""
        parts = []
        for _ in range(BURST):
            at = b"%.6f" % time.time()
            for _ in range(TOGETHER):
                task = events.new_id()
                holes = {
                    b"id": events.new_id().encode(),
                    b"attempt": events.new_id().encode(),
                    b"task": task.encode(),
                    b"at": at,
                }
                parts.append(self._acceptance % holes)
                self._waiting.append(holes)
            if len(self._waiting) > BEHIND:
                ended, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                for holes in ended:
                    holes[b"at"] = at
                parts += [self._end, b",".join([self._run % holes for holes in ended]), b"]\r\n"]
                self.told += TOGETHER
        return b"".join(parts), sum(part.startswith(b"*") for part in parts)


def main() -> None:
    """Fill the stream of REDIS_URL until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lifecycles", description=__doc__)
    parser.add_argument("--rate", type=float, default=0.0, help="lifecycles a second (default: as fast as they are recorded)")
    parser.add_argument("--backlog", type=int, default=20_000, help="entries in the stream at most")
    flags = parser.parse_args()
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    connection = redis.Connection(**redis.ConnectionPool.from_url(os.environ["REDIS_URL"]).connection_kwargs)
    connection.connect()
    stream = "windrow:events"
    source, began, bursts = Source(stream), time.monotonic(), 0
    while not ended:
        raw, entries = source.burst()
        connection.send_packed_command([raw])
        connection.send_command("XLEN", stream)
        for _ in range(entries):
            connection.read_response()
        bursts += 1
        length = connection.read_response()
        while length > flags.backlog and not ended:
            time.sleep(0.005)
            connection.send_command("XLEN", stream)
            length = connection.read_response()
        if flags.rate:
            time.sleep(max(0.0, began + bursts * BURST * TOGETHER / flags.rate - time.monotonic()))


if __name__ == "__main__":
    main()
