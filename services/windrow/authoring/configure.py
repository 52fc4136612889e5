"""The configuration of a Windrow app."""

from __future__ import annotations

from typing import Any

from windrow.authoring.publishing import SOCKET_SECONDS

TRANSPORT = "windrow.broker.transport:Transport"

_CELERYS_SOCKET_TIMEOUT = 120.0
_RESULT_SECONDS = 10.0
"""How long a result's reader or writer waits for an answer before it connects anew."""
_REDIS_SCHEMES = ("redis:", "rediss:", "redis+socket:", "socket:", "sentinel:")

_JSON_ONLY = {
    "accept_content": ["json"],
    "result_accept_content": ["json"],
    "task_serializer": "json",
    "result_serializer": "json",
    "event_serializer": "json",
}


def configure(app: Any, redis_url: str | None, key_prefix: str) -> None:
    """Put Windrow's settings over the app's own, which must have been read."""
    conf = app.conf
    changes: dict[str, Any] = dict(_JSON_ONLY)
    changes["broker_transport"] = TRANSPORT
    changes["task_create_missing_queues"] = True
    if redis_url:
        changes["broker_url"] = redis_url
        changes["broker_read_url"] = changes["broker_write_url"] = None
    broker = redis_url or conf.broker_url
    if _is_own(conf, redis_url) and isinstance(broker, str) and broker.startswith(_REDIS_SCHEMES):
        changes["result_backend"] = conf.windrow_result_backend = broker
    prefix = {"global_keyprefix": key_prefix} if key_prefix else {}
    # One try each: `publishing` repeats it, with one deadline over all.
    changes["task_publish_retry"] = False
    changes["broker_transport_options"] = {
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "max_retries": 0,
        **(conf.broker_transport_options or {}),
        **prefix,
    }
    if conf.redis_socket_timeout == _CELERYS_SOCKET_TIMEOUT:
        changes["redis_socket_timeout"] = _RESULT_SECONDS
    if conf.redis_socket_connect_timeout is None:
        changes["redis_socket_connect_timeout"] = SOCKET_SECONDS
    changes["result_backend_transport_options"] = {**(conf.result_backend_transport_options or {}), **prefix}
    conf.update(changes)
    _forget_connections(app)


def _is_own(conf: Any, redis_url: str | None) -> bool:
    """Whether the result backend is Windrow's to set: none is set, or the one that is set is from an earlier install."""
    current = conf.result_backend
    return current is None or current == conf.get("windrow_result_backend")


def _forget_connections(app: Any) -> None:
    """Connections and routes made under other settings are made anew."""
    app._pool = None
    app.__dict__.pop("_windrow_outlet", None)
    app._backend_cache = None
    app._local.__dict__.pop("backend", None)
    amqp = app.__dict__.get("amqp")
    if amqp is not None:
        amqp._producer_pool = None
        for name in ("send_task_message", "create_task_message", "queues", "router", "routes"):
            amqp.__dict__.pop(name, None)
