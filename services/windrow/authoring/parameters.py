"""Where a task's signature takes `execution_id`, and what is put there. Pure."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EXECUTION_ID = "execution_id"

Arguments = tuple[Sequence[Any], Mapping[str, Any]]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class ExecutionIdParameter:
    """A task's parameter named `execution_id`."""

    names: tuple[str, ...]
    """The positional parameters, without the task itself (`bind=True`)."""
    position: int | None
    """Its place among them; None when it can only be given by name."""
    required: bool
    """It has no default."""
    variadic: bool
    """The signature ends in `*args`."""

    @classmethod
    def of(cls, fun: Callable[..., Any], *, bound: bool) -> ExecutionIdParameter | None:
        """The parameter of `fun`, or None when it has none of that name; `bound`: the first argument is the task."""
        try:
            parameters = signature_of(fun, follow_wrapped=True).parameters
        except (TypeError, ValueError):
            return None  # a builtin that tells no signature
        found = parameters.get(EXECUTION_ID)
        if found is None or found.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            return None
        names = tuple(name for name, one in parameters.items() if one.kind in _POSITIONAL)[1 if bound else 0 :]
        return cls(
            names=names,
            position=names.index(EXECUTION_ID) if EXECUTION_ID in names else None,
            required=found.default is inspect.Parameter.empty,
            variadic=any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters.values()),
        )

    def given(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The `execution_id` among these arguments; None when it is absent or None."""
        if EXECUTION_ID in kwargs:
            return kwargs[EXECUTION_ID]
        return args[self.position] if self.position is not None and self.position < len(args) else None

    def absent(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether these arguments don't give it at all, not even as None."""
        return EXECUTION_ID not in kwargs and (self.position is None or self.position >= len(args))

    def filled(self, args: Sequence[Any], kwargs: Mapping[str, Any], value: str) -> Arguments:
        """The arguments with `value` where `execution_id` was absent or None; never over another value."""
        if self.given(args, kwargs) is not None:
            return args, kwargs
        if EXECUTION_ID in kwargs or self.absent(args, kwargs):
            return args, {**kwargs, EXECUTION_ID: value}
        changed = list(args)
        changed[self.position or 0] = value
        return tuple(changed), kwargs

    def handed_on(self, results: Sequence[Any], own: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        """The arguments of a canvas step: `results` (of the step before) ahead of its `own`, `execution_id` left free.

        What would have gone to `execution_id` and after it goes to the parameters that follow and are not given by name. When
        there are more values than such parameters, the results are left out: the step has no place for them.
        """
        merged = (*results, *own)
        if self.position is None or self.position >= len(results):
            return merged, kwargs
        free = [name for name in self.names if name != EXECUTION_ID and name not in kwargs]
        values = merged if len(merged) <= len(free) or self.variadic else tuple(own)
        return self._placed(values, kwargs)

    def _placed(self, values: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments:
        """`values` in the order of the parameters, past `execution_id` and past those given by name."""
        left = list(values)
        args: list[Any] = []
        by_name: dict[str, Any] = {}
        hole = False  # a parameter given by name: those behind it must be given by name too
        for name in self.names:
            if not left:
                break
            if name in kwargs:
                hole = True
            elif name == EXECUTION_ID:
                args.append(None)
            elif hole:
                by_name[name] = left.pop(0)
            else:
                args.append(left.pop(0))
        return (*args, *left), {**kwargs, **by_name}


def signature_of(fun: Callable[..., Any], *, follow_wrapped: bool) -> inspect.Signature:
    """`inspect.signature` without evaluating annotations, which may name what only a type checker imports."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(fun, follow_wrapped=follow_wrapped, annotation_format=Format.STRING)
    return inspect.signature(fun, follow_wrapped=follow_wrapped)
