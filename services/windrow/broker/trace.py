"""W3C trace context in a message's headers: read, begun, continued. https://www.w3.org/TR/trace-context/

A trace that begins here is named after what begins it: the execution, or the group that it is called with. So no message
needs random digits of its own, and who has the one id has the other.
"""

from __future__ import annotations

import re
from typing import Any, Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_FORM: Final = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")
_UUID: Final = re.compile(r"(?!0{8})[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SAMPLED: Final = "01"


def trace_of(traceparent: object) -> str | None:
    """The trace id (32 hexadecimal digits) of a `traceparent` header; None for what is none."""
    found = _match(traceparent)
    return found[2] if found else None


def begun(execution: str, group: object = None) -> str:
    """The `traceparent` of a call that nobody's trace continues in; the calls of one group have one trace."""
    own = execution.replace("-", "")
    if isinstance(group, str) and _UUID.fullmatch(group):
        return f"00-{group.replace('-', '')}-{own[16:]}-{_SAMPLED}"
    return f"00-{own}-{own[16:]}-{_SAMPLED}"


def continued(traceparent: object, execution: str, attempt: str) -> str:
    """The `traceparent` of what an attempt publishes: its message's trace, and the attempt in the place of the span."""
    found = _match(traceparent)
    span = attempt.replace("-", "")[16:]
    if found is None:
        return f"00-{execution.replace('-', '')}-{span}-{_SAMPLED}"
    return f"00-{found[2]}-{span}-{found[3]}"


def put_begun(headers: dict[str, Any], execution: str) -> str:
    """Begin a trace in a message's headers if they continue none; the trace id."""
    trace = trace_of(headers.get(TRACEPARENT))
    if trace is None:
        headers[TRACEPARENT] = made = begun(execution, headers.get("group"))
        headers.pop(TRACESTATE, None)
        trace = made[3:35]
    return trace


def _match(traceparent: object) -> re.Match[str] | None:
    found = _FORM.fullmatch(traceparent) if isinstance(traceparent, str) else None
    # Version 00 ends after its flags; a later one may say more.
    return None if found is None or (found[4] and found[1] == "00") else found
