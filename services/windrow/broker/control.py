"""Remote control that outlives the workers that hear it: what is revoked is kept in Redis."""

from __future__ import annotations

import base64
import json
from typing import Any

from celery.app import control as stock
from celery.app.task import Context

from windrow.broker import admin
from windrow.broker.client import connect


class Control(stock.Control):
    """Celery's `app.control`, whose revocations also reach workers that start later."""

    def revoke(self, task_id: Any, *args: Any, **options: Any) -> Any:
        """Revoke one task id or several, as Celery does, and keep them in Redis; delayed ones end at once.

        Raises redis.RedisError.
        """
        ids = [task_id] if isinstance(task_id, str) else list(task_id)
        prefix = (self.app.conf.broker_transport_options or {}).get("global_keyprefix", "")
        url = self.app.conf.broker_write_url or self.app.conf.broker_url
        client = connect(url, key_prefix=prefix)
        try:
            for message in admin.revoke(client, ids):
                self.tell_waiting(message)
        finally:
            client.close()
        return super().revoke(task_id, *args, **options)

    def tell_waiting(self, message: bytes) -> None:
        """Store the result of a delayed message that was taken out, as the worker that took it would have."""
        headers, embedded = _read(message)
        request = Context({**headers, "chord": embedded.get("chord")})
        self.app.backend.mark_as_revoked(
            headers["id"], "revoked", request=request, store_result=not headers.get("ignore_result")
        )


def _read(message: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """A message's headers, and what Celery has embedded in its body: callbacks, chain, chord."""
    made = json.loads(message)
    try:
        body = json.loads(base64.b64decode(made["body"]))
        embedded = body[2] if isinstance(body, list) and len(body) == 3 else {}
    except (ValueError, KeyError, TypeError):  # compressed, or no JSON
        embedded = {}
    return made["headers"], embedded if isinstance(embedded, dict) else {}
