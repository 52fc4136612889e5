"""The chaos suite's proxy and watch, on real sockets and processes; and the checker against workers with a rule taken out."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.processes import ROOT, free_port
from tests.chaos.proxy import CUT, PASS, REFUSE, Loop, Proxy, Trap
from tests.chaos.watch import Watch
from tests.waiting import wait_until


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a server that sends back what it gets."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_echo, args=(link,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    loop = Loop()
    made = Proxy(loop, server.getsockname()[1])
    yield made
    made.close()
    loop.stop()
    server.close()


def _echo(link: socket.socket) -> None:
    with link:
        while part := link.recv(4096):
            link.sendall(part)


def ask(link: socket.socket, text: bytes) -> bytes:
    link.sendall(text)
    return link.recv(100)


def client(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=0.3)


def test_a_cut_holds_and_a_refusal_closes(proxy: Proxy) -> None:
    """A cut link stays up and what was sent arrives afterwards; a refused one is closed, and nobody gets in."""
    with client(proxy) as link:
        assert ask(link, b"one") == b"one"
        proxy.set(CUT)
        with pytest.raises(TimeoutError):
            ask(link, b"two")
        proxy.set(PASS)
        assert link.recv(100) == b"two"
        proxy.set(REFUSE)
        with pytest.raises(ConnectionRefusedError):
            client(proxy)
    proxy.set(PASS)
    with client(proxy) as link:
        assert ask(link, b"three") == b"three"


def test_a_port_that_is_refused_stays_the_proxys(proxy: Proxy) -> None:
    """Whoever connects somewhere meanwhile could be given it, and the proxy would not get it back."""
    proxy.set(REFUSE)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", proxy.port))
    proxy.set(PASS)
    with client(proxy) as link:
        assert ask(link, b"again") == b"again"


def test_a_cut_may_be_meant_for_one(proxy: Proxy) -> None:
    """Only the links that are selected by their port are cut."""
    with client(proxy) as one, client(proxy) as other:
        assert ask(one, b"1") == ask(other, b"1")
        port = one.getsockname()[1]
        proxy.selects = lambda of: of == port
        proxy.set(CUT)
        assert ask(other, b"2") == b"2"
        with pytest.raises(TimeoutError):
            ask(one, b"2")


@pytest.mark.parametrize("before", [True, False])
def test_a_trap_springs_once_before_or_after_what_it_waits_for(proxy: Proxy, before: bool) -> None:
    """Before: what was waited for is not forwarded; after: it is."""
    struck: list[float] = []
    trap = Trap(lambda direction, data: direction == b"up" and data == b"now", lambda: struck.append(time.monotonic()), before)
    proxy.catch(trap)
    with client(proxy) as link:
        assert ask(link, b"not yet") == b"not yet"
        link.sendall(b"now")
        assert trap.sprung.wait(2)
        if before:
            with pytest.raises(TimeoutError):
                link.recv(100)
        else:
            assert link.recv(100) == b"now"
        assert ask(link, b"now") == b"now"
        assert len(struck) == 1


def test_a_death_is_seen_when_it_happens(tmp_path: Path) -> None:
    """A process that wrote a line is watched; its end is known to some milliseconds."""
    path = tmp_path / "evidence"
    watch = Watch(path)
    with subprocess.Popen(["sleep", "60"]) as process:
        path.write_text(f"{time.monotonic():.6f} {process.pid} start task work/0 token - -\n")
        wait_until(lambda: process.pid in watch.running, 5, "the line is read")
        os.kill(process.pid, signal.SIGKILL)
        killed = time.monotonic()
        process.wait()
        wait_until(lambda: process.pid in watch.deaths, 5, "the death is seen")
    watch.stop()
    assert 0 <= watch.deaths[process.pid] - killed < 0.5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_checker_sees_each_rule_that_is_taken_out() -> None:
    """Without the atomic take something is missing, without the lease attempts overlap, without the fence two finals count.

    A recorder that counts an attempt twice keeps totals that its records don't have.
    """
    command = [sys.executable, "-m", "tests.chaos.broken"]
    rules = ("take", "lease", "fence", "fold")
    played = {rule: subprocess.Popen([*command, rule], cwd=ROOT, stdout=subprocess.PIPE, text=True) for rule in rules}
    said = {rule: process.communicate()[0] for rule, process in played.items()}
    print("\n".join(said.values()))
    assert {rule: process.returncode for rule, process in played.items()} == dict.fromkeys(rules, 0)


def test_a_free_port_is_free() -> None:
    """It can be listened on at once."""
    with socket.create_server(("127.0.0.1", free_port())):
        pass
