"""When a worker is alive and ready, and what its port says."""

from __future__ import annotations

import os
import threading
import time
import urllib.error
import urllib.request

import pytest

from windrow.metrics.worker import Page
from windrow.worker.port import Port
from windrow.worker.probes import STALE_SECONDS, Probes, Vitals, standstill
from windrow.worker.relay import Relay


def probes(vitals: Vitals, *, stopping: bool = False, answered_since: float | None = 0.0, at_work: bool = False) -> Probes:
    return Probes(vitals, lambda: stopping, lambda: answered_since, lambda: at_work)


@pytest.mark.parametrize(
    ("last_turn", "answered_since", "still"),
    [
        (99.0, 0.0, 1.0),
        (10.0, 0.0, 90.0),
        (10.0, 70.0, 30.0),  # Redis came back 30 s ago
        (10.0, None, 0.0),  # Redis is away
        (None, 0.0, 0.0),  # the loop has not begun to turn
        (100.5, 0.0, 0.0),
    ],
)
def test_a_loop_stands_still_only_while_redis_answers(
    last_turn: float | None, answered_since: float | None, still: float
) -> None:
    """What keeps a loop from turning because Redis is away is no fault of the worker."""
    assert standstill(100.0, last_turn, answered_since) == still


def test_a_worker_is_ready_from_the_start_of_its_pool_until_it_stops_but_while_it_drained() -> None:
    """Each reason has its sentence."""
    vitals = Vitals()
    assert probes(vitals).not_ready() == "the worker is starting"
    vitals.start()
    assert probes(vitals, answered_since=None).not_ready() is None
    vitals.drain(True)
    assert probes(vitals).not_ready() == "the worker has drained, as it was asked"
    assert probes(vitals, stopping=True).not_ready() == "the worker is stopping"
    vitals.drain(False)
    assert probes(vitals).not_ready() is None


def test_a_restart_is_asked_for_only_where_it_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale loop with Redis there; not while a task may hold it, nor in the termination grace."""
    vitals = Vitals()
    assert probes(vitals).not_alive() is None
    vitals.turn()
    now = time.monotonic() + STALE_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert probes(vitals).not_alive() == "the worker's event loop has stood still for 61 s, though Redis answers"
    assert probes(vitals, answered_since=None).not_alive() is None
    assert probes(vitals, at_work=True).not_alive() is None
    assert probes(vitals, stopping=True).not_alive() is None
    monkeypatch.setattr(time, "monotonic", lambda: now - 2)
    assert probes(vitals).not_alive() is None


def test_vitals_are_shared_with_forked_processes() -> None:
    """What the process under a guard notes, the guard reads."""
    vitals = Vitals()
    pid = os.fork()
    if pid == 0:
        vitals.turn()
        vitals.start()
        vitals.drain(True)
        os._exit(0)
    os.waitpid(pid, 0)
    assert vitals.last_turn is not None
    assert vitals.started
    assert vitals.drained


def test_a_port_in_use_is_said_in_one_sentence() -> None:
    """The sentence names the setting to change."""
    port = Port("127.0.0.1", 0)
    with pytest.raises(OSError, match=f"127.0.0.1:{port.number} must be free.*WINDROW_WORKER_METRICS_PORT"):
        Port("127.0.0.1", port.number)
    port.close()


def test_a_closed_port_listens_no_more() -> None:
    """Port 0 takes a free one; `close` gives it back."""
    port = Port("127.0.0.1", 0)
    vitals = Vitals()
    vitals.start()
    port.start(probes(vitals), lambda asked: ("200 OK", [], repr(sorted(asked)).encode()))
    with urllib.request.urlopen(f"http://127.0.0.1:{port.number}/metrics?a=b") as answer:
        assert answer.read() == b"['HTTP_ACCEPT', 'HTTP_ACCEPT_ENCODING', 'QUERY_STRING']"
    port.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port.number}/metrics")


def test_a_fork_waits_for_answers_that_are_being_made() -> None:
    """A lock that a thread holds when the process forks would be held in the child for ever."""
    port = Port("127.0.0.1", 0)
    begun, goes_on, steps = threading.Event(), threading.Event(), []

    def page(asked: object) -> Page:
        begun.set()
        goes_on.wait(5)
        steps.append("answered")
        return "200 OK", [], b""

    def fork() -> None:
        with port.quiet():
            steps.append("forks")

    port.start(probes(Vitals()), page)
    client = threading.Thread(target=lambda: urllib.request.urlopen(f"http://127.0.0.1:{port.number}/metrics").read())
    forking = threading.Thread(target=fork)
    client.start()
    assert begun.wait(5)
    forking.start()
    forking.join(0.1)
    goes_on.set()
    forking.join(5)
    client.join(5)
    port.close()
    assert steps == ["answered", "forks"]


def test_a_relay_without_a_process_says_so() -> None:
    """Between two processes there are no metrics, and that is said at once."""
    relay = Relay()
    relay.keep()
    began = time.monotonic()
    status, _, body = relay.page({"QUERY_STRING": ""})
    assert status == "503 Service Unavailable"
    assert body.startswith(b"the worker's process must answer")
    relay.close()
    assert relay.page({})[0] == "503 Service Unavailable"
    assert time.monotonic() - began < 1


def test_a_standstill_is_told_once_with_where_the_process_is(caplog: pytest.LogCaptureFixture) -> None:
    """A restarted worker leaves in its log what it was at; the probe asks every few seconds, and is told once."""
    vitals = Vitals()
    vitals.turn()
    vitals._turned[0] -= STALE_SECONDS + 1
    made = probes(vitals)
    assert made.not_alive()
    assert made.not_alive()
    (record,) = caplog.records
    assert "test_a_standstill_is_told_once_with_where_the_process_is" in record.getMessage()
