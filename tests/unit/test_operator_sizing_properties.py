"""What holds whatever arrives, however late the views are and whenever the operator is killed."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.operator_plane import Plane
from tests.unit.scaling_cases import spec
from windrow.queues import QueueWorker
from windrow.scaling import History
from windrow_operator.sizing import SETTLE_SECONDS, Memory

# The machine is shared: how long an example takes says nothing here.
unhurried = settings(deadline=None, max_examples=60)
WINDOW = 3
CALM = 1500
"""Steps in which everything must come to rest: tasks, the window, drains and deletions."""
REST = 15
"""Steps without any change after which nothing will change any more."""


@st.composite
def planes(draw: st.DrawFn) -> Plane:
    least, room = draw(st.sampled_from([0, 0, 2])), draw(st.sampled_from([50, 50, 4]))
    of = spec(
        f"{{concurrency: {draw(st.integers(1, 3))}, timeLimits: {{hard: 5m}}, scaling: {{minReplicas: {least}, maxReplicas: 12,"
        f" waitTarget: 5s, scaleDownWindow: {WINDOW}s, fallbackReplicas: 2}}}}"
    )
    return Plane(of, random.Random(draw(st.integers(0, 2**32))), lag=draw(st.integers(0, 2)), room=room)


@st.composite
def days(draw: st.DrawFn) -> list[tuple[list[float], bool]]:
    """For each step what arrives, by how long it runs, and whether the operator is killed."""
    bursts = draw(st.lists(st.tuples(st.integers(1, 25), st.integers(1, 15), st.integers(0, 30)), min_size=1, max_size=5))
    kills = draw(st.sets(st.integers(0, 120), max_size=8))
    made: list[list[float]] = []
    for count, seconds, pause in bursts:
        made += [[float(seconds)] * count, *([] for _ in range(pause))]
    return [(arrivals, at in kills) for at, arrivals in enumerate(made)]


def run(plane: Plane, day: list[tuple[list[float], bool]]) -> None:
    for arrivals, killed in day:
        plane.step(arrivals, killed=killed)


def calm(plane: Plane) -> None:
    """Nothing arrives any more, until nothing has changed for a while."""
    same, before = 0, None
    for _ in range(CALM):
        plane.step([])
        state = (plane.replicas, plane.in_flight, len(plane.ready), [(p.name, p.ready, p.drain, p.cost) for p in plane.active])
        same, before = (same + 1 if state == before else 0), state
        if same == REST:
            return


def at_rest(plane: Plane, workers: int) -> None:
    assert not plane.ready
    assert (plane.replicas, len(plane.active), plane.in_flight) == (workers, workers, 0)
    assert [(pod.drain, pod.cost) for pod in plane.active] == [(None, None)] * workers


@unhurried
@given(planes(), days())
def test_no_busy_pod_goes_and_all_comes_to_rest(plane: Plane, day: list[tuple[list[float], bool]]) -> None:
    """No worker with a task is ever given up, none that serves either, and in the end there is what minReplicas says."""
    run(plane, day)
    calm(plane)
    assert not plane.busy_removed
    assert not plane.too_low
    assert not plane.wrong
    at_rest(plane, plane.spec.spec.scaling.min_replicas)


@unhurried
@given(planes(), days(), st.integers(0, 12))
def test_a_pin_is_reached_and_kept(plane: Plane, day: list[tuple[list[float], bool]], pinned: int) -> None:
    """Pinned in the middle of anything: no busy pod goes for it, it is reached, and the number never falls below it again."""
    half = len(day) // 2
    run(plane, day[:half])
    plane.spec = _pinned(plane.spec, pinned)
    before = len(plane.numbers) - 1
    run(plane, day[half:])
    calm(plane)
    assert not plane.busy_removed
    numbers = plane.numbers[before:]
    first = next((at for at, number in enumerate(numbers) if number >= pinned), len(numbers))
    assert all(number >= pinned for number in numbers[first:])
    if plane.room >= pinned:
        assert (plane.replicas, len(plane.active)) == (pinned, pinned)


@unhurried
@given(planes(), days(), st.integers(5, 40))
def test_without_redis_nobody_goes(plane: Plane, day: list[tuple[list[float], bool]], away: int) -> None:
    """While Redis can't be read the number never falls, also of an operator started meanwhile; afterwards all comes to rest."""
    run(plane, day)
    plane.readable = False
    before = plane.replicas
    for step in range(away):
        plane.step([], killed=step == away // 2)
        assert plane.replicas >= before
        before = plane.replicas
    assert plane.replicas > 0
    plane.readable = True
    calm(plane)
    assert not plane.busy_removed
    at_rest(plane, plane.spec.spec.scaling.min_replicas)


def test_the_plane_gives_up_busy_pods_when_it_is_told_to() -> None:
    """The model is no judge that always says yes: a number that is simply lowered costs busy pods, and is told."""
    plane = Plane(spec("{concurrency: 1, timeLimits: {hard: 5m}}"), random.Random(1), lag=0, room=50)
    run(plane, [([30.0] * 6, False), *[([], False)] * 15])
    plane._write("replicas", 2)
    plane._operate = lambda killed: None  # type: ignore[method-assign]
    for _ in range(5):
        plane.step([])
    assert plane.busy_removed
    assert plane.too_low


def _pinned(of: QueueWorker, replicas: int) -> QueueWorker:
    return of.model_copy(update={"spec": of.spec.model_copy(update={"replicas": replicas})})


def test_the_model_is_late_by_less_than_what_sizing_waits() -> None:
    """A marked pod is called back only after longer than any lag of the model's: else its proof would be empty."""
    assert SETTLE_SECONDS > 2 + 2
    assert Memory().history == History()
