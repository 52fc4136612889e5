"""The chaos suite's own tools: where a log may be cut, what MONITOR's lines say, and that its page is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import docs
from tests.chaos.aof import boundary, cut
from tests.chaos.load import Load
from tests.chaos.monitor import results, told
from tests.chaos.row import ALWAYS, misses
from tests.chaos.rows import ROWS


def command(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


ONE, TWO = command("SET", "a", "x\r\n*9\r\n"), command("LPUSH", "list", "message")
WHOLE = command("MULTI") + TWO + TWO + command("EXEC")
NOTE = b"#TS:1700000000\r\n"


@pytest.mark.parametrize("at", range(len(ONE + WHOLE + NOTE + TWO) + 1))
def test_a_log_is_cut_between_commands_and_never_inside_a_transaction(at: int) -> None:
    """The boundary is the last place at or before the wanted one where all that begun is complete."""
    log = ONE + WHOLE + NOTE + TWO
    places = [0, len(ONE), len(ONE + WHOLE), len(ONE + WHOLE + NOTE), len(log)]
    assert boundary(log, at) == max(place for place in places if place <= at)


def test_a_cut_file_ends_with_a_whole_command(tmp_path: Path) -> None:
    """What is cut off is told in bytes."""
    path = tmp_path / "a.incr.aof"
    path.write_bytes(ONE + TWO)
    assert cut(path, len(ONE) + 3) == len(TWO)
    assert path.read_bytes() == ONE


EVENT = r"[{\"k\":\"ended\",\"id\":\"e1\",\"task_id\":null,\"state\":\"success\",\"attempt\":\"a1\",\"t\":1}]"
MESSAGE = r"{\"headers\": {\"lang\": \"py\", \"task\": \"t.work\", \"id\": \"t1\", \"root_id\": \"t0\"}}"
LINES = rf'''+1000.5 [0 lua] "XADD" "windrow:events" "*" "v" "1" "e" "{EVENT}" "m" "\xc3\xa9 \"}}\""
+1001.5 [0 lua] "RPUSH" "work" "{MESSAGE}"
+1002.5 [0 lua] "RPUSH" "windrow:quarantine:work" "0work\n{MESSAGE}"
+1003.5 [0 127.0.0.1:1] "EVALSHA" "f00" "1" "windrow:events" "XADD"
+1004.5 [0 127.0.0.1:1] "XADD" "windrow:events" "*" "v" "1" "e" "no JSON"
+1005.5 [0 127.0.0.1:1] "SETEX" "celery-task-meta-t1" "86400" "{{\"status\": \"FAILURE\", \"result\": 1}}"
'''


def test_what_redis_was_told_is_read_from_its_monitor(tmp_path: Path) -> None:
    """Events of the stream and messages put into lists, on the monotonic clock; nothing else, whatever is in the lines."""
    path = tmp_path / "monitor"
    path.write_text(LINES)
    found = [(each.at, each.kind, each.execution, each.task, each.state, each.attempt) for each in told(path, 1000.0)]
    assert found == [
        (0.5, "ended", "e1", None, "success", "a1"),
        (1.5, "back", "t1", "t1", None, ""),
        (2.5, "apart", "t1", "t1", None, ""),
    ]
    assert [(each.kind, each.task, each.state) for each in results(path, 1000.0)][-1] == ("ended", "t1", "failed")


def test_the_page_says_what_the_rows_say() -> None:
    """docs/chaos.md is as `python -m tests.chaos.docs` writes it, run figures aside."""
    page = docs.PAGE.read_text(encoding="utf-8")
    assert docs.render(page, Path("/nonexistent")) == page


def test_every_row_is_of_the_size_that_was_asked() -> None:
    """At least 1,000 tasks in each row, and 200 kills in all."""
    assert [row.name for row in ROWS.values() if row.tasks < 1000] == []
    killing = ("child", "worker", "worker-take", "worker-ack", "tree", "canvas-child", "canvas-worker")
    assert sum(ROWS[name].blows for name in killing) >= 200


def test_a_figure_past_its_limit_is_a_miss() -> None:
    """A row's own limit goes before that of all rows, and each miss is one sentence."""
    from tests.chaos.checker import Verdict

    row = ROWS["freeze-tree"]
    assert misses(Verdict(accepted=1000, overlapping=row.slots, overlap_s=0.9), row, 1) == []
    assert misses(Verdict(accepted=1000, overlapping=row.slots + 1), row, 1) == ["overlapping must be at most 8, and is 9"]
    assert misses(Verdict(accepted=1000, missing=1), row, 1) == ["missing must be at most 0, and is 1"]
    assert misses(Verdict(accepted=999), row, 1) == ["accepted must be at least 1000, and is 999"]
    assert set(ALWAYS) <= set(Verdict.__dataclass_fields__)
    assert Load().count == 1000
