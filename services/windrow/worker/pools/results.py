"""Reading what a prefork pool's children say."""

from __future__ import annotations

from typing import Any

from celery.concurrency import asynpool


class Results(asynpool.ResultHandler):
    """Reads what the children say: as much as has come, in one system call."""

    def register_with_event_loop(self, hub: Any) -> None:
        """Handle results on this event loop from now on."""
        self._hub = hub

    def handle_event(self, fd: int) -> None:
        """A child's pipe is readable."""
        process = self.fileno_to_outq.get(fd)
        if process is None or not self.read(process):
            self._hub.remove_reader(fd)

    def read(self, process: Any) -> bool:
        """Handle all that has come from a child; says whether more may come."""
        try:
            process.incoming.read()
        except (OSError, EOFError):
            return False
        finally:
            while (message := process.incoming.next()) is not None:
                self.on_state_change(message)
        return True

    def _flush_outqueue(self, fd: int, remove: Any, process_index: Any, on_state_change: Any) -> None:
        process = process_index.get(fd)
        try:
            if process is not None and (not process.outq._reader.poll(0.1) or self.read(process)):
                return
        except OSError:
            pass
        remove(fd)
