"""Where `execution_id` is put, and where a canvas result goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from windrow.authoring.parameters import ExecutionIdParameter

ID = "the id"


def _first(self, execution_id=None, param1=None, param2=10):
    """Execution id first, as in the reference."""


def _second(self, data, execution_id=None, more=None):
    """Execution id in the middle."""


def _by_name(self, data, *, execution_id=None):
    """Execution id by name only."""


def _variadic(self, execution_id=None, *values):
    """Any number of values."""


def _alone(self, execution_id=None):
    """Nothing else."""


def _of(fun: Callable[..., Any]) -> ExecutionIdParameter:
    found = ExecutionIdParameter.of(fun, bound=True)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("fun", "args", "kwargs", "filled"),
    [
        (_first, (), {}, ((), {"execution_id": ID})),
        (_first, (None, "x"), {}, ((ID, "x"), {})),
        (_first, ("given", "x"), {}, (("given", "x"), {})),
        (_first, (), {"execution_id": None}, ((), {"execution_id": ID})),
        (_first, (), {"execution_id": "given"}, ((), {"execution_id": "given"})),
        (_first, (), {"execution_id": ""}, ((), {"execution_id": ""})),
        (_second, ("d",), {}, (("d",), {"execution_id": ID})),
        (_second, ("d", None, "m"), {}, (("d", ID, "m"), {})),
        (_by_name, ("d",), {}, (("d",), {"execution_id": ID})),
    ],
)
def test_the_id_fills_what_is_absent_or_none(fun: Any, args: Any, kwargs: Any, filled: Any) -> None:
    """The id is put where the argument is absent or None, and never over another value."""
    assert _of(fun).filled(args, kwargs, ID) == filled


@pytest.mark.parametrize(
    ("fun", "own", "kwargs", "placed"),
    [
        (_first, (), {}, ((None, "result"), {})),
        (_first, (3,), {}, ((None, "result", 3), {})),
        (_first, (), {"param1": 1}, ((None,), {"param1": 1, "param2": "result"})),
        (_first, (), {"execution_id": "given"}, ((), {"execution_id": "given", "param1": "result"})),
        (_first, ("one", "two"), {}, ((None, "one", "two"), {})),
        (_second, (), {}, (("result",), {})),
        (_by_name, (), {}, (("result",), {})),
        (_variadic, (1, 2), {}, ((None, "result", 1, 2), {})),
        (_alone, (), {}, ((), {})),
    ],
)
def test_a_result_goes_past_the_id(fun: Any, own: Any, kwargs: Any, placed: Any) -> None:
    """A result goes to the first parameter behind `execution_id` that is not given by name; without one it is left out."""
    assert _of(fun).handed_on(("result",), own, kwargs) == placed


@pytest.mark.parametrize("fun", [lambda self, data: None, lambda self, **execution_id: None, len])
def test_other_signatures_have_no_such_parameter(fun: Any) -> None:
    """Only a parameter of that very name counts."""
    assert ExecutionIdParameter.of(fun, bound=True) is None


def test_a_parameter_without_a_default_is_required() -> None:
    """`required` is what Celery's check of the arguments would miss."""
    assert ExecutionIdParameter.of(lambda execution_id, data=None: None, bound=False).required  # type: ignore[union-attr]
    assert not _of(_first).required
