"""Who is woken by a publish: one worker, whoever publishes; and what is left when that one is gone.

Takers of many workers run on one loop here, on a real Redis, so that each call can be counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.hubs import Hand, Hub, hand
from windrow.broker import admin
from windrow.broker.client import Client, connect
from windrow.broker.keys import Keys
from windrow.broker.recovery import Recovery

KEYS = Keys()
WORKERS = 20


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    made = connect(redis_url)
    yield made
    made.close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.close()


@pytest.fixture
def make(redis_url: str) -> Callable[[int], redis.Connection]:
    pool = redis.ConnectionPool.from_url(redis_url)
    return lambda protocol: redis.Connection(**{**pool.connection_kwargs, "protocol": protocol})


def crew(
    hub: Hub, client: Client, make: Callable[[int], redis.Connection], number: int = WORKERS, **options: object
) -> list[Hand]:
    """So many idle workers, settled down: one listens, the others have their bells."""
    hands = [hand(hub, n, make, **options) for n in range(number)]  # type: ignore[arg-type]
    hub.run(lambda: client.scard(KEYS.idle("q")) == number - 1 and client.exists(KEYS.listener("q")), what="all are idle")
    hub.turn(0.05)
    return hands


def done(hands: list[Hand]) -> int:
    return sum(len(each.done) for each in hands)


def listener(hands: list[Hand], client: Client) -> Hand:
    name = (client.get(KEYS.listener("q")) or b"").decode()
    return next(each for each in hands if each.taker.worker == name)


def calls(client: Client) -> int:
    return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])


def test_a_publish_wakes_one_of_twenty_idle_workers(hub: Hub, client: Client, make: Callable[[int], redis.Connection]) -> None:
    """A stock producer's plain LPUSH is taken at once, and costs two calls: the take and the finish. Twenty would be a herd."""
    hands = crew(hub, client, make)
    counted = 0
    for n in range(10):
        hub.turn(0.01)
        before, began = calls(client), time.monotonic()
        client.lpush("q", b"m%d" % n)
        hub.run(lambda n=n: done(hands) == n + 1, what="it runs")
        assert time.monotonic() - began < 0.5, "the push wakes a worker, not its next look"
        hub.turn(0.02)
        counted += calls(client) - before
    # In the 0.3 s each of the 20 looks by itself 0.3 times or a little more.
    assert counted <= 10 * 2 + WORKERS * 0.9


def test_a_burst_wakes_as_many_as_it_needs(hub: Hub, client: Client, make: Callable[[int], redis.Connection]) -> None:
    """Twenty long tasks at once start on twenty workers at once: the one that is woken rings the others."""
    hands = crew(hub, client, make, at_once=False)
    began = time.monotonic()
    client.lpush("q", *[b"m%d" % n for n in range(WORKERS)])
    hub.run(lambda: all(each.held for each in hands), what="each has one")
    assert time.monotonic() - began < 0.5


def test_nothing_is_taken_ahead_of_idle_workers(hub: Hub, client: Client, make: Callable[[int], redis.Connection]) -> None:
    """A worker that may take twenty ahead takes what its slot runs while others are idle: these have the rest at once."""
    hands = crew(hub, client, make, 4, at_once=False)
    for each in hands:
        each.taker.inflight.pace = 0.001
    began = time.monotonic()
    client.lpush("q", b"m1", b"m2", b"m3", b"m4")
    hub.run(lambda: all(each.held for each in hands), what="each has one")
    assert time.monotonic() - began < 0.02, "sooner than what waits behind a long task is handed back"


def test_what_the_listener_hands_back_starts_on_an_idle_worker(
    hub: Hub, client: Client, make: Callable[[int], redis.Connection]
) -> None:
    """A listener is not told of its own pushes: it rings another for what it hands back."""
    hands = crew(hub, client, make, 2, at_once=False)
    first = listener(hands, client)
    other = next(each for each in hands if each is not first)
    first.taker.inflight.slots = 2
    client.lpush("q", b"m1", b"m2")
    hub.run(lambda: len(first.held) == 2, what="both start")
    first.taker.inflight.slots = 1
    hub.turn(0.05)
    began = time.monotonic()
    first.taker.say("G", first.held.pop().tag, "")
    hub.run(lambda: other.held, what="it starts there")
    assert time.monotonic() - began < 0.2


def test_a_full_listener_rings_another(hub: Hub, client: Client, make: Callable[[int], redis.Connection]) -> None:
    """While the listener's only slot is busy, each further message starts at once on an idle worker."""
    hands = crew(hub, client, make, 4, at_once=False)
    for n in range(4):
        began = time.monotonic()
        client.lpush("q", b"m%d" % n)
        hub.run(lambda n=n: sum(len(each.held) for each in hands) == n + 1, what="it starts")
        assert time.monotonic() - began < 0.5


def test_a_push_wakes_nobody_while_all_are_busy(hub: Hub, client: Client, make: Callable[[int], redis.Connection]) -> None:
    """A queue with no idle worker has no listener: a thousand pushes cost its workers next to nothing; then all run."""
    hands = crew(hub, client, make, 3, at_once=False)
    client.lpush("q", *[b"m%d" % n for n in range(4)])
    hub.run(lambda: all(each.held for each in hands), what="all are busy")
    hub.turn(0.05)
    before = calls(client)
    for n in range(1000):
        client.lpush("q", b"n%d" % n)
        if n % 10 == 0:
            hub.turn(0.0)
    hub.turn(0.05)
    assert calls(client) - before <= 6

    def all_run() -> bool:
        for each in hands:
            each.finish()
        return done(hands) == 1004

    hub.run(all_run, 20, "all run")


def test_a_dead_listener_leaves_the_queue_deaf_no_longer_than_a_look(
    hub: Hub, client: Client, make: Callable[[int], redis.Connection]
) -> None:
    """The listener is killed: the next message starts within the second in which each worker looks; then another listens."""
    hands = crew(hub, client, make, 3)
    dead = listener(hands, client)
    dead.die(hub)
    began = time.monotonic()
    client.lpush("q", b"m1")
    hub.run(lambda: done(hands) == 1, what="it runs")
    assert time.monotonic() - began < 1.3
    alive = [each for each in hands if each is not dead]
    hub.run(lambda: client.get(KEYS.listener("q")) in [each.taker.worker.encode() for each in alive], what="another listens")
    hub.turn(0.05)
    began = time.monotonic()
    client.lpush("q", b"m2")
    hub.run(lambda: done(hands) == 2, what="it runs")
    assert time.monotonic() - began < 0.2


def test_a_dead_workers_bell_is_not_rung_in_vain(hub: Hub, client: Client, make: Callable[[int], redis.Connection]) -> None:
    """An idle worker died: who rings it notices that nobody hears, and rings the next."""
    hands = crew(hub, client, make, 6, at_once=False)
    listening = listener(hands, client)
    others = [each for each in hands if each is not listening]
    for each in others[:4]:
        each.die(hub)
    bells = [KEYS.bell(each.taker.worker) for each in others[:4]]
    hub.run(lambda: not any(heard for _, heard in client.pubsub_numsub(*bells)), what="Redis has noticed")
    began = time.monotonic()
    client.lpush("q", b"m1", b"m2")
    hub.run(lambda: listening.held and others[4].held, what="both start")
    assert time.monotonic() - began < 0.5


def test_who_stops_gives_up_listening(hub: Hub, client: Client, make: Callable[[int], redis.Connection]) -> None:
    """A worker that is told to stop is neither the listener nor among the idle when it is done; so is one that drains."""
    hands = crew(hub, client, make, 3)
    for each in hands[:2]:
        each.taker.stop_taking()
    hub.run(lambda: all(each.taker.idle for each in hands[:2]), what="they are done")
    left = {hands[0].taker.worker.encode(), hands[1].taker.worker.encode()}
    assert client.get(KEYS.listener("q")) not in left
    assert not client.smembers(KEYS.idle("q")) & left
    admin.ask_drain(client, [hands[2].taker.worker])
    hub.run(lambda: client.hget(KEYS.drain, hands[2].taker.worker) == b"drained", what="the last one has drained")
    assert not client.exists(KEYS.listener("q"), KEYS.idle("q"))


def test_what_is_given_back_wakes_a_worker(hub: Hub, client: Client, make: Callable[[int], redis.Connection]) -> None:
    """A dead worker's message, given back by recovery, starts on an idle one at once."""
    hands = crew(hub, client, make, 2, at_once=False)
    first = listener(hands, client)
    client.lpush("q", b"m1")
    hub.run(lambda: first.held, what="it starts")
    other = next(each for each in hands if each is not first)
    first.die(hub)
    Recovery(client, {}).recover(first.taker.worker)
    began = time.monotonic()
    hub.run(lambda: other.held, what="it starts again")
    assert time.monotonic() - began < 1.3


def test_a_delay_wakes_the_listener(hub: Hub, client: Client, make: Callable[[int], redis.Connection]) -> None:
    """A message that is due in 0.2 s starts then, though every worker was idle when it came."""
    hands = crew(hub, client, make, 3)
    now = time.time()
    client.hset(KEYS.delayed_messages("q"), "one", "0q\nm1")
    client.zadd(KEYS.delayed("q"), {"one": int((now + 0.2) * 1000)})
    hub.run(lambda: done(hands) == 1, what="it runs")
    assert 0.2 <= time.time() - now < 0.4


@pytest.mark.parametrize("refused", ["tracking", "HELLO 3"])
def test_without_pushes_a_worker_looks_by_itself(hub: Hub, client: Client, redis_url: str, refused: str) -> None:
    """Where Redis refuses tracking the listener looks ten times a second and rings the others; with RESP2 each looks."""
    client.execute_command("ACL", "SETUSER", "plain", "on", "nopass", "~*", "&*", "+@all", "-client|tracking")
    pool = redis.ConnectionPool.from_url(redis_url)
    settings = {**pool.connection_kwargs, "username": "plain", "password": "x"}

    def make(protocol: int) -> redis.Connection:
        if refused == "HELLO 3" and protocol == 3:
            raise redis.ResponseError("unknown command 'HELLO'")  # as a proxy without it answers
        return redis.Connection(**{**settings, "protocol": protocol})

    try:
        hands = [hand(hub, n, make, at_once=False) for n in range(3)]
        hub.turn(0.2)
        wire = hands[0].taker._wire
        assert wire is not None
        assert (wire.pushes, wire.tracking) == (refused == "tracking", False)
        began = time.monotonic()
        client.lpush("q", b"m1", b"m2", b"m3")
        hub.run(lambda: all(each.held for each in hands), what="each has one")
        assert time.monotonic() - began < 0.3
    finally:
        client.execute_command("ACL", "DELUSER", "plain")


def test_an_idle_worker_that_finds_a_backlog_by_itself_works_it_off(
    hub: Hub, client: Client, make: Callable[[int], redis.Connection]
) -> None:
    """When the listener dies, an idle worker finds what waits at its own look: it is idle no more, and takes all of it."""
    hands = crew(hub, client, make, 3)
    listener = next(one for one in hands if client.get(KEYS.listener("q")) == one.taker.worker.encode())
    listener.die(hub)
    client.lpush("q", *(f"m{n}" for n in range(300)))
    hub.run(lambda: sum(len(one.done) for one in hands) == 300, 4, "all is done")
    hub.run(lambda: client.scard(KEYS.idle("q")) <= 1, 4, "one listens, the other is idle")


def test_a_busy_worker_is_not_among_the_idle_ones(hub: Hub, client: Client, make: Callable[[int], redis.Connection]) -> None:
    """Whoever took something by its own look has left the idle workers: others may take ahead, and nobody rings it in vain."""
    hands = crew(hub, client, make, 2)
    idle = next(one for one in hands if client.get(KEYS.listener("q")) != one.taker.worker.encode())
    for one in hands:
        one.taker.consume(one.held.append)  # from now on what is taken stays
    hands[1 - hands.index(idle)].die(hub)
    client.lpush("q", "m")
    hub.run(lambda: idle.held, 4, "it is taken")
    hub.run(lambda: client.smembers(KEYS.idle("q")) == set(), 1, "nobody is idle")


def test_a_full_worker_that_gave_up_listening_takes_again_as_soon_as_a_slot_is_free(
    hub: Hub, client: Client, make: Callable[[int], redis.Connection]
) -> None:
    """It heard of a message that it had no slot for, and nobody was idle: it takes it with its next end, not a second later."""
    (only,) = crew(hub, client, make, 1, at_once=False)
    client.lpush("q", b"m1")
    hub.run(lambda: only.held, what="its slot is taken")
    hub.turn(0.05)
    client.lpush("q", b"m2")
    hub.run(lambda: not client.exists(KEYS.listener("q")), what="it has heard of the second, and listens no more")
    only.finish()
    freed = time.monotonic()
    hub.run(lambda: only.held, 2, "the second runs")
    assert time.monotonic() - freed < 0.3
