"""What holds for every decision, whatever is observed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scaling_cases import spec
from windrow.queues import QueueWorker
from windrow.scaling import History, Observation, Reason, WorkerState, choose_victims, choose_withdrawals, decide

# The machine is shared: how long an example takes says nothing here.
unhurried = settings(deadline=None)
counts = st.integers(min_value=0, max_value=5000)
seconds = st.floats(min_value=0, max_value=10_000, allow_nan=False)


@st.composite
def specs(draw: st.DrawFn) -> QueueWorker:
    least = draw(st.integers(min_value=0, max_value=20))
    most = max(1, least + draw(st.integers(min_value=0, max_value=60)))
    rate = draw(st.sampled_from(["", ", rateLimit: 3/m", ", rateLimit: 200/s"]))
    return spec(
        f"{{concurrency: {draw(st.integers(1, 9))}{rate}, scaling: {{minReplicas: {least}, maxReplicas: {most},"
        f" waitTarget: {draw(st.integers(1, 90))}s, scaleDownWindow: {draw(st.integers(0, 20))}s}}}}"
    )


@st.composite
def worker_sets(draw: st.DrawFn) -> tuple[WorkerState, ...]:
    states = draw(st.lists(st.sampled_from(["starting", "ready", "ready", "asked", "drained", "gone"]), max_size=30))
    made = []
    for number, state in enumerate(states):
        busy = 0 if state in ("starting", "drained", "gone") else draw(st.integers(0, 4))
        made.append(
            WorkerState(f"w{number}", f"q-{number:03}", 4, busy, busy + (draw(st.integers(0, 4)) if busy else 0), state)
        )  # type: ignore[arg-type]
    return tuple(made)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    workers = draw(worker_sets())
    return Observation(
        at=draw(seconds),
        ready=draw(counts),
        delayed=draw(counts),
        due_soon=draw(st.integers(0, 3)),
        in_flight=sum(worker.taken for worker in workers) + draw(st.integers(0, 3)),
        oldest_age=draw(st.none() | seconds),
        workers=workers,
        mean_run=draw(st.none() | seconds),
        arrival_rate=draw(st.none() | seconds),
        paused=draw(st.booleans()),
    )


def busy(seen: Observation) -> int:
    return sum(worker.busy > 0 or worker.taken > 0 for worker in seen.workers if worker.state != "gone")


@unhurried
@given(specs(), observations())
def test_within_bounds_and_never_below_the_busy(of: QueueWorker, seen: Observation) -> None:
    """Between minReplicas and maxReplicas, and at least the busy workers as far as maxReplicas goes."""
    decision, _ = decide(of, seen, History())
    scaling = of.spec.scaling
    assert scaling.min_replicas <= decision.replicas <= scaling.max_replicas
    assert decision.replicas >= min(busy(seen), scaling.max_replicas)


@unhurried
@given(specs(), observations(), st.integers(0, 20_000))
def test_pinned_is_exact(of: QueueWorker, seen: Observation, pinned: int) -> None:
    """A pinned queue has that many, also outside the bounds."""
    decision, _ = decide(of, replace(seen, pinned=pinned), History())
    assert (decision.replicas, decision.reason) == (pinned, Reason.PINNED)


@unhurried
@given(specs(), observations(), st.integers(1, 1000))
def test_more_ready_never_means_fewer_workers(of: QueueWorker, seen: Observation, more: int) -> None:
    """With one more ready task and all else the same, the decision is the same or higher."""
    fewer, _ = decide(of, seen, History())
    greater, _ = decide(of, replace(seen, ready=seen.ready + more), History())
    assert greater.replicas >= fewer.replicas


@unhurried
@given(specs(), observations())
def test_nought_only_when_nothing_is_left(of: QueueWorker, seen: Observation) -> None:
    """A queue that isn't paused has no worker only when nothing is ready, in flight or due soon."""
    decision, _ = decide(of, replace(seen, paused=False), History())
    if decision.replicas == 0:
        assert seen.ready == seen.in_flight == seen.due_soon == 0


@unhurried
@given(specs(), st.lists(observations(), min_size=1, max_size=8))
def test_same_past_same_decision(of: QueueWorker, seen: list[Observation]) -> None:
    """Decisions depend on nothing but what is handed in."""

    def run() -> list[object]:
        history, made = History(), []
        for observation in seen:
            decision, history = decide(of, observation, history)
            made.append((decision, history))
        return made

    assert run() == run()


@unhurried
@given(specs(), observations(), st.lists(st.booleans(), min_size=1, max_size=20))
def test_an_unreadable_broker_takes_nobody_away(of: QueueWorker, seen: Observation, readable: list[bool]) -> None:
    """While the broker can't be read the number stays what it was, and is never nought unless somebody stopped the queue."""
    seen = replace(seen, paused=False)
    decision, history = decide(of, seen, History())
    for number, can in enumerate(readable):
        if can:
            decision, history = decide(of, replace(seen, at=seen.at + number + 1), history)
            continue
        before = decision.replicas
        decision, history = decide(of, Observation(seen.at + number + 1, readable=False), history)
        assert decision.replicas >= before
        assert decision.replicas > 0 or of.spec.scaling.max_replicas == 0


@settings(deadline=None, max_examples=60)
@given(specs(), observations())
def test_a_constant_load_settles(of: QueueWorker, seen: Observation) -> None:
    """When nothing changes but that the platform obeys, the number goes down at most once and never up again."""
    history = History()
    replicas: list[int] = []
    for number in range(int(of.spec.scaling.scale_down_window) + 12):
        decision, history = decide(of, replace(seen, at=seen.at + number), history)
        replicas.append(decision.replicas)
        seen = obeyed(seen, decision.replicas)
    assert all(after <= before for before, after in pairwise(replicas))
    assert len(set(replicas)) <= 2


def obeyed(seen: Observation, replicas: int) -> Observation:
    """What is seen next by a platform that does at once what was decided, with idle workers draining at once."""
    back, asked = set(choose_withdrawals(seen, replicas)), set(choose_victims(seen, replicas))
    kept: list[WorkerState] = []
    for worker in seen.workers:
        if worker.id in back or worker.state == "starting":
            kept.append(replace(worker, state="ready"))
        elif worker.id in asked:
            if worker.taken:
                kept.append(replace(worker, state="asked"))
        elif worker.state in ("ready", "asked"):
            kept.append(worker)
    missing = replicas - sum(worker.state == "ready" for worker in kept)
    named = {worker.id for worker in seen.workers}
    fresh = [f"n{number}" for number in range(len(named) + max(0, missing)) if f"n{number}" not in named]
    kept += [WorkerState(name, name, 4, 0, 0, "ready") for name in fresh[: max(0, missing)]]
    return replace(seen, workers=tuple(kept))


@unhurried
@given(observations(), st.integers(0, 40))
def test_who_goes_and_who_comes_back(seen: Observation, replicas: int) -> None:
    """Never both at once, never more than the difference, and no busy worker while an idle one would do."""
    victims, back = choose_victims(seen, replicas), choose_withdrawals(seen, replicas)
    assert not (victims and back)
    assert len(victims) <= max(0, seen.serving - replicas)
    assert len(back) <= max(0, replicas - seen.serving)
    ready = {worker.id: worker for worker in seen.workers if worker.state == "ready"}
    idle = {name for name, worker in ready.items() if not worker.taken}
    if any(ready[name].taken for name in victims):
        assert idle <= set(victims)
