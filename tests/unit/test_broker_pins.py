"""What the broker and the worker rely on in other people's code: an upgrade that changes it fails here."""

from __future__ import annotations

import inspect

import hiredis
import redis
from celery.concurrency import asynpool, prefork
from celery.worker import components, consumer, request, strategy, worker
from kombu.asynchronous import hub
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual


def source(thing: object) -> str:
    return inspect.getsource(thing)


def test_kombus_key_layout() -> None:
    """Lists by priority step, pushed left and taken right: any producer's messages are found."""
    assert kombu_redis.PRIORITY_STEPS == [0, 3, 6, 9]
    assert kombu_redis.Channel.sep == "\x06\x16"
    assert kombu_redis.Channel.keyprefix_queue == "_kombu.binding.%s"
    assert "client.lpush(key, dumps(message))" in source(kombu_redis.Channel._put)
    assert "'BRPOP'" in source(kombu_redis.Channel._brpop_start)


def test_the_hooks_that_the_transport_overrides() -> None:
    """Each is still called by the name that Windrow overrides."""
    assert "self._register_LISTEN(channel)" in source(kombu_redis.MultiChannelPoller.on_poll_start)
    assert "_basic_cancel" in source(kombu_redis.Channel.basic_cancel)
    assert "_put(" in source(virtual.Channel.basic_publish) + source(virtual.exchange.DirectExchange.deliver)
    assert kombu_redis.Channel.from_transport_options
    refresh = source(kombu_redis.Channel.maybe_refresh_binding_expiry)
    for name in ("_active_queues", "_expires", "_binding_ttl", "_binding_expiry_refreshed_at", "_bindings_swept_at"):
        assert name in refresh
    assert kombu_redis.BINDING_SWEEP_INTERVAL


def test_a_message_dies_with_its_channel_but_not_its_tag() -> None:
    """Acknowledging goes through the channel that a message came by."""
    assert "self.channel.basic_ack(self.delivery_tag" in source(virtual.base.base.Message.ack)


def test_the_hub_computes_its_timeout_before_its_ticks() -> None:
    """Work made ready in a tick waits for the next event: so the taker works in callbacks and timers only."""
    text = source(hub.Hub.create_loop)
    assert text.index("fire_timers(propagate") < text.index("tick_callback()") < text.index("poll(poll_timeout)")


def test_celerys_strategy_is_the_one_that_was_copied_from() -> None:
    """The steps of Celery's strategy that Windrow's takes over or replaces."""
    text = source(strategy.default)
    for step in (
        "signals.task_received.send",
        "limit_task(req, bucket, 1)",
        "task_reserved(req)",
        "handle(req)",
        "req.revoked()",
    ):
        assert step in text


def test_celerys_request_settles_through_two_methods() -> None:
    """Everything Celery does to a message's end goes through `acknowledge` and `reject`."""
    text = source(request.Request)
    assert "self.acknowledge()" in text
    assert "self.reject(requeue=" in text
    assert text.count("self._on_ack(") == 1
    assert text.count("self._on_reject(") == 1


def test_the_consumer_is_made_by_name_and_closes_with_on_close() -> None:
    """The worker takes its consumer class from the configuration; a lost connection ends in `on_close`."""
    assert "w.consumer_cls" in source(components)
    assert "either('worker_consumer', consumer_cls)" in source(worker)
    assert "reserved_requests.clear()" in source(consumer.Consumer.on_close)


def test_pool_children_die_with_their_parent() -> None:
    """The kernel kills a worker's children when its main process dies: recovery rests on it."""
    assert "set_pdeathsig('SIGKILL')" in source(prefork.process_initializer)


def test_the_pool_replaces_children_when_asked() -> None:
    """`maintain_pool` is what the pool itself calls when a child ends."""
    assert "self.maintain_pool()" in source(asynpool.AsynPool._event_process_exit)


def test_hiredis_tells_pushes_from_replies() -> None:
    """A push of RESP3 has a type of its own."""
    reader = hiredis.Reader()
    reader.feed(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nq\r\n")
    assert isinstance(reader.gets(), hiredis.PushNotification)


def test_redis_py_packs_commands_and_keeps_its_socket() -> None:
    """The wire uses redis-py to connect, then its socket."""
    connection = redis.Connection()
    assert connection.pack_command("PING") is not None
    assert hasattr(connection, "_sock")
