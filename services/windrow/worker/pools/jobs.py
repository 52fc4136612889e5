"""One call in the prefork pool's hands, and how long calls of its task take."""

from __future__ import annotations

from typing import Any

from billiard.pool import ApplyResult

from windrow.worker.usage import Used, peak_of

LONG = 1e6
"""Expected seconds of a call nothing is known of: it goes alone."""


class Job(ApplyResult):
    """One call in the pool's hands: billiard's result without its lock and its event, nobody waits for it in a thread."""

    due: float | None = None
    """When its next limit is reached, monotonic seconds."""
    expected = LONG
    """Seconds that it should run."""
    used = Used()
    """What it used, as far as that is known."""
    text: str | None = None
    """The end of what it logged, once it has ended."""

    def __init__(self, number: int, text: bytes, name: Any, cache: dict[int, Any], options: dict[str, Any]) -> None:
        self._job, self._payload, self.name, self._cache = number, text, name, cache
        self._callback = options.get("callback")
        self._accept_callback = options.get("accept_callback")
        self._error_callback = options.get("error_callback")
        self._timeout_callback = options.get("timeout_callback")
        self._timeout, self._soft_timeout = options.get("timeout"), options.get("soft_timeout")
        self._lost_worker_timeout = options["lost_worker_timeout"]
        self._callbacks_propagate = options.get("callbacks_propagate") or ()
        self.correlation_id = options.get("correlation_id")
        self._accepted = self._cancelled = self._done = False
        self._worker_pid: int | None = None
        self._time_accepted: float | None = None
        self._terminated: int | None = None
        cache[number] = self

    @property
    def owner(self) -> Any:
        """The request whose call this is."""
        return getattr(self._callback, "__self__", None)

    def measure(self) -> None:
        """Note what it has used until now: its process is about to be ended and will say nothing."""
        if self._worker_pid is not None:
            self.used = Used(peak=peak_of(self._worker_pid))

    @property
    def log(self) -> str | None:
        """The end of what it logged, also of one whose child was killed; None when that is nothing."""
        if self.text is None and self._write_to is not None:
            text: str | None = self._write_to.tail.read(self._job)
            return text
        return self.text

    def ready(self) -> bool:
        """Whether it has ended."""
        return self._done

    def _set(self, i: Any, obj: tuple[bool, Any]) -> None:
        self._done, self.due = True, None
        self._success, self._value = obj
        self._cache.pop(self._job, None)
        callback = self._callback if self._success else self._error_callback
        if self._value is not None:
            self.safe_apply_callback(callback, self._value)

    def _ack(self, i: Any, time_accepted: float, pid: int, synqW_fd: Any) -> None:
        self._accepted, self._time_accepted, self._worker_pid = True, time_accepted, pid
        limit = self._soft_timeout or self._timeout
        if limit and not self._done:
            self.due = time_accepted + limit
        if self._accept_callback is not None:
            self.safe_apply_callback(self._accept_callback, pid, time_accepted)


class RunTimes:
    """Mean run times by task name, in seconds."""

    def __init__(self) -> None:
        self._means: dict[Any, float] = {}

    def expected(self, name: Any) -> float:
        """What a call should take; `LONG` before the first has ended."""
        return self._means.get(name, LONG)

    def ran(self, name: Any, seconds: float) -> None:
        """Follow a much longer run at once and a shorter one slowly, as what is taken ahead does."""
        mean = self._means.get(name)
        if mean is None:
            self._means[name] = seconds
        else:
            self._means[name] = mean + (seconds - mean) * (0.5 if seconds > 8 * mean else 0.2)
