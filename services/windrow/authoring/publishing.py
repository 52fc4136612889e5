"""Publishing fails soon and says why; in a worker, what must go out waits for Redis."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from kombu.exceptions import EncodeError, OperationalError
from kombu.utils.url import sanitize_url

from windrow.authoring.attempt import Attempt, current_attempt
from windrow.authoring.direct import DirectProducer, Outlet, identity
from windrow.authoring.greenlets import owner, synchronous
from windrow.authoring.owed import current_debt, fresh_id
from windrow.authoring.replacing import current_replacement
from windrow.authoring.tracing import publishing, tracer
from windrow.broker.publication import HEADER, Publication, header_of
from windrow.broker.refusal import PublishRefused, is_full, judge
from windrow.broker.trace import TRACEPARENT, TRACESTATE, continued

logger = logging.getLogger(__name__)

T = TypeVar("T")

SOCKET_SECONDS = 2.5
"""How long one try may wait for Redis; with the tries before it, publishing fails within 3 s."""
RETRY_SECONDS = 0.5
"""How long tries that fail at once are repeated: a restart of Redis leaves a closed connection behind."""
PAUSE = 0.1
_PATIENT_PAUSE = 0.5
_TASK_ID = 5
"""The place of `task_id` among the arguments of Celery's `send_task`, after the name."""

AWAY = (OperationalError, redis.ConnectionError, redis.TimeoutError, OSError)
"""What says that Redis can't be reached."""


class GaveUp(OperationalError):
    """Redis could not be reached in time; the sentence says so."""


def bounded_send_task(app: Any, send_task: Callable[..., Any]) -> Callable[..., Any]:
    """Celery's `send_task`, whose failures are one sentence each.

    Raises kombu's OperationalError when Redis can't be reached, within 3 s, and EncodeError when the serializer asked for is
    not JSON. What a worker's attempt leaves behind (its retry, the next step of its chain) is no caller's to repeat: it waits
    until Redis is back.
    """

    @functools.wraps(send_task)
    def send(name: str, *args: Any, **options: Any) -> Any:
        serializer = options.get("serializer")
        if serializer not in (None, "json", "application/json"):
            raise EncodeError(f"the message of {name} must be JSON, not {serializer!r}: leave `serializer` out")
        if len(args) < _TASK_ID and options.get("task_id") is None:
            options["task_id"] = fresh_id()  # the same for every try: the first may have arrived
        task_id = options.get("task_id") or args[_TASK_ID - 1]
        debt, replacement = current_debt(), current_replacement()
        traced, attempt = tracer(), current_attempt()
        if traced is None and attempt is not None:
            _go_on(options, attempt)
        if replacement is not None:
            _note(options, replacement.fields(task_id))
        elif debt is not None:
            _note(options, debt.fields)
        if options.get("connection") or not isinstance(options.get("producer"), DirectProducer | None):
            _note(options, identity())  # the caller's own way: each try makes the message anew
        patient = replacement is not None or _is_owed(task_id, attempt)
        coroutine = owner() if patient else None
        if coroutine is not None:  # a retry from a coroutine: its task ends when it is published
            coroutine.owe(send, name, *args, **options)
            return app.AsyncResult(task_id)
        if traced is None:
            return bounded(app, name, lambda: send_task(name, *args, **options), patient)
        options["headers"] = headers = dict(options.get("headers") or {})
        with publishing(traced, name, str(task_id), lambda: _destination(app, name, args, options), headers):
            return bounded(app, name, lambda: send_task(name, *args, **options), patient)

    return send


def _destination(app: Any, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> str | None:
    """The name of the queue that a call goes to."""
    queue = options.get("queue") or options.get("routing_key")
    if queue is None:
        given, named = (*args, None, None)[:2]
        queue = app.amqp.router.route({}, name, given or (), named or {}).get("queue")
    found: str | None = getattr(queue, "name", queue)
    return found


def _go_on(options: dict[str, Any], attempt: Attempt) -> None:
    """What a task publishes goes on with its trace, unless its author, or who traces it, gives another."""
    headers = options.get("headers") or {}
    if attempt.attempt_id is None or TRACEPARENT in headers:
        return
    made = {TRACEPARENT: continued(attempt.traceparent, attempt.execution_id, attempt.attempt_id)}
    if attempt.tracestate is not None:
        made[TRACESTATE] = attempt.tracestate
    options["headers"] = {**headers, **made}


def _note(options: dict[str, Any], fields: dict[str, Any]) -> None:
    """Put fields into Windrow's header of a call."""
    headers = options.get("headers") or {}
    options["headers"] = {**headers, HEADER: {**header_of(headers), **fields}}


def producers(app: Any, acquire: Callable[..., Any]) -> Callable[..., Any]:
    """Celery's `producer_or_acquire`, which gives a producer that goes straight to Redis when none is given."""

    def deliver(publications: list[Publication]) -> None:
        replacement = current_replacement()
        if replacement is not None:
            replacement.publications += publications
            return
        outlet = outlet_of(app)
        patient = any(_is_owed(one.task_id, current_attempt()) for one in publications)
        name = publications[0].task if len(publications) == 1 else f"{len(publications)} tasks"
        bounded(app, name, lambda: _off_loop(outlet.send, publications), patient)

    def block(name: str, fun: Callable[..., Any], *args: Any, **options: Any) -> None:
        patient = current_replacement() is not None or _is_owed(None, current_attempt())
        bounded(app, name, lambda: _off_loop(fun, *args, **options), patient)

    @functools.wraps(acquire)
    def producer_or_acquire(producer: Any = None) -> Any:
        if producer is not None:
            return acquire(producer)
        app.conf.get("broker_url")  # read now: Windrow's settings come with the first reading, and begin with a new outlet
        return DirectProducer(outlet_of(app), deliver, block)

    return producer_or_acquire


def send_together(app: Any, name: str, publications: list[Publication]) -> None:
    """Publish what takes an attempt's place, all or nothing; it waits until Redis is back."""
    bounded(app, name, lambda: _off_loop(outlet_of(app).send_together, publications), patient=True)


def outlet_of(app: Any) -> Outlet:
    """The app's way to Redis in this process."""
    found: Outlet | None = app.__dict__.get("_windrow_outlet")
    if found is None:
        found = app._windrow_outlet = Outlet(app)
    return found


def failure(app: Any, name: str, waited: float, cause: BaseException) -> GaveUp:
    """The sentence of a call that could not be published; `waited` in seconds."""
    return GaveUp(
        f"publishing {name} failed after {waited:.1f} s: Redis at {_where(app)} must answer within 3 s; it said: {cause}"
    )


def bounded(app: Any, name: str, attempt: Callable[[], T], patient: bool) -> T:
    """What `attempt()` gives, repeated while Redis is away: for 3 s at most, or, `patient`, until it is back."""
    started = time.monotonic()
    while True:
        try:
            return attempt()
        except GaveUp:
            raise
        except PublishRefused as refusal:
            if not patient:
                raise
            logger.warning("%s; it is tried again", refusal)
            _pause(_PATIENT_PAUSE)
        except AWAY as exc:
            if is_full(exc) and not patient:  # kombu's own commands before the message
                judge(exc, name)
            waited = time.monotonic() - started
            if not patient and waited > RETRY_SECONDS:
                raise failure(app, name, waited, exc) from exc
            if patient:
                logger.warning("%s waits for Redis to be published: %s", name, exc)
            _pause(_PATIENT_PAUSE if patient else PAUSE)


def _off_loop(fun: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call what blocks; around a coroutine in a thread, since the loop must not wait for Redis."""
    here = synchronous()
    return fun(*args, **options) if here is None else here.offload(fun, *args, **options)


def _pause(seconds: float) -> None:
    here = synchronous()
    if here is None:
        time.sleep(seconds)
    else:
        here.wait(asyncio.sleep(seconds))


def _is_owed(task_id: Any, attempt: Attempt | None) -> bool:
    """Whether this is the retry of the attempt that runs here, or what follows it in a canvas."""
    if attempt is None:
        return False
    return task_id == attempt.task_id or current_debt() is not None


def _where(app: Any) -> str:
    url = app.conf.broker_write_url
    return sanitize_url(url) if isinstance(url, str) else "an unknown address: set REDIS_URL"
