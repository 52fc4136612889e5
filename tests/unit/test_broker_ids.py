"""Execution and attempt ids."""

from __future__ import annotations

import os
import threading
import time

from windrow.broker import events


def test_ids_carry_their_time_and_are_never_made_twice() -> None:
    """Also when several threads make them at once."""
    made: list[list[str]] = [[] for _ in range(4)]

    def make(into: list[str]) -> None:
        into.extend(events.new_id() for _ in range(2000))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [one for into in made for one in into]
    assert len(set(ids)) == len(ids)
    now = time.time()
    assert all(events.is_id(one, now) and abs(events.id_time(one) - now) < 60 for one in ids)


def test_a_forked_child_makes_ids_of_its_own() -> None:
    """Parent and child share no random bytes that were read before the fork."""
    events.new_id()
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, events.new_id(0).encode())
        os._exit(0)
    os.wait()
    mine = {events.new_id(0) for _ in range(200)}
    assert os.read(read, 100).decode() not in mine
    os.close(read)
    os.close(write)
