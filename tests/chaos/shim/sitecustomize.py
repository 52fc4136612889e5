"""A wall clock that the harness can step: seconds in the file CHAOS_CLOCK are added to what the machine's clock says."""

import datetime
import os
import time

_time, _time_ns, _monotonic = time.time, time.time_ns, time.monotonic
_path = os.environ.get("CHAOS_CLOCK", "")
_read = {"at": -1.0, "offset": 0.0}


def _offset():
    now = _monotonic()
    if now - _read["at"] > 0.05:
        _read["at"] = now
        try:
            with open(_path) as file:
                _read["offset"] = float(file.read() or 0)
        except (OSError, ValueError):
            pass
    return _read["offset"]


class _DateTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(_time() + _offset(), tz)

    @classmethod
    def utcnow(cls):
        return cls.now(datetime.UTC).replace(tzinfo=None)


if _path:
    time.time = lambda: _time() + _offset()
    time.time_ns = lambda: _time_ns() + int(_offset() * 1e9)
    _DateTime.__name__ = _DateTime.__qualname__ = "datetime"
    datetime.datetime = _DateTime
