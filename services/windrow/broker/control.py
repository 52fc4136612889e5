"""Remote control that outlives the workers that hear it: what is revoked is kept in Redis."""

from __future__ import annotations

from typing import Any

from celery.app import control as stock

from windrow.broker import admin
from windrow.broker.client import connect


class Control(stock.Control):
    """Celery's `app.control`, whose revocations also reach workers that start later."""

    def revoke(self, task_id: Any, *args: Any, **options: Any) -> Any:
        """Revoke one task id or several, as Celery does, and keep them in Redis. Raises redis.RedisError."""
        ids = [task_id] if isinstance(task_id, str) else list(task_id)
        prefix = (self.app.conf.broker_transport_options or {}).get("global_keyprefix", "")
        url = self.app.conf.broker_write_url or self.app.conf.broker_url
        client = connect(url, key_prefix=prefix)
        try:
            admin.revoke(client, ids)
        finally:
            client.close()
        return super().revoke(task_id, *args, **options)
