"""Chords on Redis: each part counts once, and the body is published once, however often a part is repeated.

Celery's own keys and order of things. Its claim, by which one of two parts that see the chord complete publishes the body, is
not used: a process that died with it left the chord without a body, and one that died after publishing let the next part
publish again. Here any part that finds the chord complete publishes the body, in the name of the chord's group and run, and
`publish.lua` refuses it to all but the first.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from celery.canvas import maybe_signature
from celery.exceptions import ChordError
from celery.result import GroupResult, allow_join_result
from kombu.utils.json import dumps

from windrow.authoring.owed import current_debt, owed_by, owner_of
from windrow.broker import events
from windrow.broker.scripts import load

if TYPE_CHECKING:
    from windrow.authoring.results import ResultBackend

logger = logging.getLogger(__name__)

DONE_SECONDS = 300
"""How long a chord that has ended refuses late parts; after that they find no size, and it never completes again."""
BODY_SECONDS = 86400
"""How long it is remembered that a body was published: parts live no longer."""

MOST_PART = 1_048_576
"""Characters of a part that go on record; a chord with a longer one is not rebuilt when Redis has lost it."""

_PART = (".j", ".t", ".s", ".d", "", ".c", ".r")
"""The endings of the keys of `part.lua`: Celery's own, and `.r`, the run."""
_CHORD = (".j", ".t", ".s", ".d", ".c", ".r", "")
"""Those of `chord.lua`."""


def begin(backend: ResultBackend, group: str, size: int) -> None:
    """Note how many parts a chord has; once for each run of it, by whoever publishes its header."""
    debt = current_debt()
    run = uuid4().hex if debt is None else debt.owner
    expires = backend.chord_expires or 0
    event = _event(backend, group, None, "begun", size=size, expires=expires)
    _call(backend, "chord", _keys(backend, group, *_CHORD), [event, "size", run, size, expires])


def part_returned(backend: ResultBackend, request: Any, state: str, result: Any) -> None:
    """Count the part that `request` has ended with `state`; the last one publishes the body, or fails it."""
    task_id, group, index = request.id, request.group, request.group_index
    if not task_id or not group:
        return
    place = "+inf" if index is None else str(index)
    who, ordered, expires = f"{task_id}:{place}", bool(backend._chord_zset), backend.chord_expires or 0
    part = backend.encode([1, task_id, state, backend.encode_result(result, state)])
    kept = part if isinstance(part, str) and len(part) <= MOST_PART else None
    event = _event(backend, group, request, "part", who=who, place=place, part=kept, ordered=ordered, expires=expires)
    arguments = [who, part, "1" if ordered else "0", place, expires, backend._chord_result_expires, event]
    arguments.append(dumps(request.chord) if event else "")
    answer = _call(backend, "part", _keys(backend, group, *_PART), arguments)
    if len(answer) < 3:
        return
    run = answer[1].decode() if isinstance(answer[1], bytes) else answer[1]
    body = maybe_signature(request.chord, app=backend.app)
    owner = f"{group}:{run}" if run else group
    with owed_by(owner, BODY_SECONDS):
        ended = _go_on(backend, group, body, answer[2], nested=bool(answer[3]))
    event = _event(backend, group, request, "ended")
    _call(backend, "chord", _keys(backend, group, *_CHORD), [event, ended, DONE_SECONDS, owner])


def _event(backend: ResultBackend, group: str, request: Any, what: str, **fields: Any) -> str:
    """The `chord` event without what the script adds, and its last brace; '' when the records are on another Redis."""
    if backend.events is None:
        return ""
    now = time.time()
    owner = None if request is None else owner_of(request)
    event = {"k": events.CHORD, "id": owner or events.new_id(now), "t": now, "what": what, "group": group, **fields}
    return events.encode(event)[:-1]


def _go_on(backend: ResultBackend, group: str, body: Any, parts: list[Any], *, nested: bool) -> str:
    """Publish the body, or tell its failure; what became of the chord, as `chord.lua` has it."""
    try:
        results = _nested(backend, group) if nested else [backend._unpack_chord_result(one, backend.decode) for one in parts]
    except Exception as error:  # whatever a part's result says
        logger.exception("chord %s failed", group)
        backend.chord_error_from_stack(body, error if isinstance(error, ChordError) else ChordError(f"Join error: {error!r}"))
        return "failed"
    try:
        backend.app.amqp._retry_publish(body.delay, results)
    except Exception as error:  # whatever the body can't be published for
        logger.exception("the body of chord %s could not be published", group)
        backend.chord_error_from_stack(body, ChordError(f"Callback error: {error!r}"))
    return "done"


def _nested(backend: ResultBackend, group: str) -> list[Any]:
    """The results of a header with groups in it, nested as they are; raises what a failed part raised."""
    header = backend.ensure(lambda: GroupResult.restore(group, backend=backend, app=backend.app), ())
    header.on_ready()
    join = header.join_native if header.supports_native_join else header.join
    with allow_join_result():
        timeout = backend.app.conf.result_chord_join_timeout
        return list(backend.ensure(lambda: join(timeout=timeout, propagate=True), ()))


def _keys(backend: ResultBackend, group: str, *endings: str) -> list[Any]:
    names = [backend.get_key_for_group(group, ending) for ending in endings]
    return [*names, backend.events or names[-1]]


def _call(backend: ResultBackend, script: str, keys: list[Any], arguments: list[Any]) -> Any:
    return backend.ensure(lambda: load(script)(backend.client, keys, arguments), ())
