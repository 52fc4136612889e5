"""The live view: what people see, and when they see nothing new."""

from __future__ import annotations

import io
from dataclasses import replace

from windrow.broker.observe import QueueReading
from windrow.local.supervisor import QueueView, Snapshot
from windrow.local.terminal import Lines, Screen, display
from windrow.local.view import Header, Records, Totals, age, changes, frame, without_codes
from windrow.scaling import Decision, Reason

READING = QueueReading("orders", 0.0, 12, 3, 0, 4, 65.0, True, False, None, (), None, 0)
VIEW = QueueView(
    "orders", "orders", READING, Decision(2, Reason.COUNTED, "12 ready"), starting=1, serving=2, busy=2, leaving=1, rate=1.5
)
SNAPSHOT = Snapshot(0.0, True, (VIEW,))
HEADER = Header("/state", "http://127.0.0.1:1")


def shown(snapshot: Snapshot = SNAPSHOT, records: Records | None = None, width: int = 200, height: int = 50) -> list[str]:
    return [without_codes(line) for line in frame(HEADER, snapshot, records or Records(), width, height)]


def test_a_queue_is_one_row_with_every_figure() -> None:
    """Ready, delayed, in flight, oldest age, workers, busy ones, rate, retries, failures; then why, then the last errors."""
    records = Records(1.0, {"orders": Totals(9, 5, 7)}, ("12:00:00  orders  pay  failed: ValueError: no",))
    lines = shown(records=records)
    row = next(line for line in lines if line.startswith("orders"))
    assert row.split() == ["orders", "12", "3", "4", "≥1m05s", "2+1-1", "2", "1.5/s", "5", "7"]
    assert "orders  2 (counted): 12 ready" in lines
    assert lines[-1] == "12:00:00  orders  pay  failed: ValueError: no"


def test_figures_that_are_unknown_are_not_zero() -> None:
    """A Redis that can't be read shows question marks, and totals nobody told show a dash."""
    lines = shown(Snapshot(0.0, False, (replace(VIEW, reading=None),)))
    row = next(line for line in lines if line.startswith("orders"))
    assert row.split()[1:5] == ["?", "?", "?", "?"]
    assert row.split()[-2:] == ["–", "–"]
    assert any("Redis can't be read" in line for line in lines)


def test_tasks_that_nobody_serves_are_shown() -> None:
    """A queue without a QueueWorker is named as long as tasks wait in it."""
    lines = shown(replace(SNAPSHOT, strangers=(replace(READING, queue="typo"),)))
    assert "typo  12 ready, and no QueueWorker serves this queue" in lines


def test_a_frame_fits_the_terminal() -> None:
    """No line is wider than the terminal, and there are no more than it has rows."""
    lines = shown(width=30, height=4)
    assert len(lines) == 4
    assert all(len(line) <= 30 for line in lines)


def test_ages_are_for_people() -> None:
    """Seconds, then minutes, then hours; what is only a lower bound says so."""
    ages = [age(None), age(0.44), age(12.9), age(185), age(7620), age(3, lower_bound=True)]
    assert ages == ["–", "0.4s", "12s", "3m05s", "2h07m", "≥3.0s"]


def test_a_plain_line_tells_only_what_changed() -> None:
    """Without a terminal a round in which nothing changed writes nothing, however much older the oldest task is."""
    older = replace(SNAPSHOT, queues=(replace(VIEW, reading=replace(READING, oldest_age=66.0)),))
    assert changes(SNAPSHOT, older, Records()) is None
    busier = replace(SNAPSHOT, queues=(replace(VIEW, serving=3),))
    line = changes(SNAPSHOT, busier, Records())
    assert line is not None
    assert "orders: 12 ready, 3 delayed, 4 in flight, oldest ≥1m05s, 3 workers (2 busy), 1 starting" in line


def test_a_screen_is_written_only_when_it_changed() -> None:
    """The same frame twice is one write: an idle platform costs its terminal nothing."""
    stream = io.StringIO()
    screen = Screen(stream)
    screen.show(HEADER, SNAPSHOT, Records())
    first = stream.getvalue()
    screen.show(HEADER, SNAPSHOT, Records())
    assert stream.getvalue() == first
    screen.show(replace(HEADER, notice="stopping"), SNAPSHOT, Records())
    assert "stopping" in stream.getvalue()[len(first) :]


def test_a_pipe_gets_lines_and_no_codes() -> None:
    """Without a terminal there are no escape codes."""
    stream = io.StringIO()
    lines = display(stream)
    assert isinstance(lines, Lines)
    lines.show(HEADER, SNAPSHOT, Records())
    assert "\x1b" not in stream.getvalue()
    assert "http://127.0.0.1:1" in stream.getvalue()


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def test_a_terminal_that_went_away_stops_nothing() -> None:
    """Whoever closes the window, or reads only the first lines, doesn't end the platform in the middle of a round."""
    for made in (Screen(Gone()), Lines(Gone())):
        made.show(HEADER, SNAPSHOT, Records())
        made.say("more")
        made.close()
