"""What of a call may be shown on record: a task's `redact` option.

`redact=("password", "token")` hides those arguments, `redact=True` all of them and the result. A redacted task's message is not
kept on record either, since it holds the arguments as they are, and what it logs only with `keep_log=True`.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

HIDDEN = "***"
KEEP_HEADER = "windrow_keep"


class _Hidden:
    def __repr__(self) -> str:
        return HIDDEN


_HIDDEN = _Hidden()


def redacted(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: dict[str, Any]) -> None:
    """Put the views of a call's arguments, and that its message must not be kept, into its options."""
    hide = task.redact
    names = _parameters(cast(Hashable, type(task)))
    if hide is True:
        shown_args, shown_kwargs = HIDDEN, HIDDEN
    else:
        hidden = {hide} if isinstance(hide, str) else set(hide)
        by_place = [*names, *([""] * max(len(args) - len(names), 0))]
        shown_args = repr(tuple(_HIDDEN if name in hidden else value for name, value in zip(by_place, args, strict=False)))
        shown_kwargs = repr({name: _HIDDEN if name in hidden else value for name, value in kwargs.items()})
    options.setdefault("argsrepr", shown_args)
    options.setdefault("kwargsrepr", shown_kwargs)
    options["headers"] = {**(options.get("headers") or {}), KEEP_HEADER: False}


def keeps_log(task: Any, headers: Mapping[str, Any]) -> bool:
    """Whether what `task` logs may be on record: its option `keep_log`, else whether nothing of it is hidden."""
    keep = getattr(task, "keep_log", None)
    if keep is None:
        return not getattr(task, "redact", False) and headers.get(KEEP_HEADER, True) is not False
    return bool(keep)


@lru_cache(maxsize=1024)
def _parameters(kind: Any) -> tuple[str, ...]:
    run = inspect.getattr_static(kind, "run")
    fun = run.__func__ if isinstance(run, staticmethod) else run
    names = tuple(inspect.signature(fun).parameters)
    return names if isinstance(run, staticmethod) else names[1:]
