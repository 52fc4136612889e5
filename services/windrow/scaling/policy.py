"""The decision: how many workers a queue shall have now. Up at once, down after the window, never on a guess."""

from __future__ import annotations

from dataclasses import replace

from windrow.queues.derive import derive
from windrow.queues.model import QueueWorker
from windrow.queues.quantities import format_duration
from windrow.scaling.flow import Flow, measured
from windrow.scaling.need import Need, flow_replicas, need
from windrow.scaling.reasons import Reason
from windrow.scaling.state import Decision, History, Observation

LONGEST_GAP = 10.0
"""Seconds without a reading after which what was needed meanwhile is unknown (or the window, if that is longer)."""


def decide(spec: QueueWorker, observation: Observation, history: History) -> tuple[Decision, History]:
    """How many workers the queue shall have, and what to hand in with the next observation."""
    if not observation.readable:
        decision = _blind(spec, observation, history)
        return decision, replace(history, since=None, needs=(), replicas=decision.replicas)

    stale = observation.at == history.at
    flow = history.flow
    if observation.finished is not None and not stale:
        held = observation.ready + observation.delayed + observation.in_flight
        flow = measured(flow, observation.at, held, observation.finished)
    observation = _with_what_is_known(observation, history, flow)
    pinned = observation.pinned if observation.pinned is not None else spec.spec.replicas
    paused = spec.spec.paused or observation.paused
    wanted = _paused_need(spec, observation) if paused else _need(spec, observation, flow)
    if not stale:
        history = _remember(history, observation.at, wanted.replicas, spec.spec.scaling.scale_down_window)
    if pinned is not None:
        decision = Decision(pinned, Reason.PINNED, f"pinned at {pinned}, where the tasks ask for {wanted.replicas}")
    else:
        decision = _bounded(spec, _lowered_with_care(spec, observation, history, wanted, stale=stale))
    history = replace(
        history,
        replicas=decision.replicas,
        mean_run=observation.mean_run,
        flow=flow,
        pinned=observation.pinned,
        paused=observation.paused,
    )
    return decision, history


def _with_what_is_known(observation: Observation, history: History, flow: Flow | None) -> Observation:
    if observation.mean_run is None and history.mean_run is not None:
        observation = replace(observation, mean_run=history.mean_run)
    if observation.arrival_rate is None and flow is not None and flow.rate is not None:
        observation = replace(observation, arrival_rate=flow.rate)
    return observation


def _need(spec: QueueWorker, observation: Observation, flow: Flow | None) -> Need:
    passing = flow is not None and flow.moved
    wanted = need(derive(spec), spec.spec.scaling.wait_target, observation, passing=passing)
    return _with_busy_floor(wanted, observation)


def _paused_need(spec: QueueWorker, observation: Observation) -> Need:
    """A paused queue needs nothing new: what runs, runs on."""
    running = replace(observation, ready=0, due_soon=0, mean_run=None)
    wanted = _with_busy_floor(need(derive(spec), spec.spec.scaling.wait_target, running), observation)
    return Need(wanted.replicas, Reason.PAUSED, f"paused, with {observation.in_flight} in flight")


def _with_busy_floor(wanted: Need, observation: Observation) -> Need:
    busy = sum(worker.occupied for worker in observation.workers)
    if busy <= wanted.replicas:
        return wanted
    return Need(busy, Reason.BUSY_FLOOR, f"{wanted.sentence}, but {busy} are busy")


def _remember(history: History, at: float, replicas: int, window: float) -> History:
    """The history with one more need: those before the window forgotten, those that this one covers dropped."""
    last = history.at
    # A clock that was set back, or a long silence: nobody knows what was needed meanwhile, so the window starts anew.
    unbroken = last is not None and history.since is not None and last < at <= last + max(window, LONGEST_GAP)
    since = history.since if unbroken else at
    older = [(when, count) for when, count in history.needs if when > at - window and count > replicas] if unbroken else []
    return replace(history, at=at, since=since, needs=(*older, (at, replicas)))


def _lowered_with_care(spec: QueueWorker, observation: Observation, history: History, wanted: Need, *, stale: bool) -> Need:
    """What is wanted, or more of what is there: workers go only when they were not needed for the whole window."""
    serving = observation.serving
    if stale:
        # Workers that an older decision asked for may be missing from an old reading.
        serving = max(serving, history.replicas or 0)
    if wanted.replicas >= serving:
        return wanted
    if stale:
        return Need(serving, Reason.STALE, f"no newer figures than the last, so {serving} stay")
    window = spec.spec.scaling.scale_down_window
    since = history.since if history.since is not None else observation.at
    highest = max(count for _, count in history.needs)
    kept = serving if observation.at - since < window else max(wanted.replicas, min(serving, highest))
    flow = (
        0
        if wanted.reason in (Reason.IDLE, Reason.DUE_SOON, Reason.PAUSED)
        else flow_replicas(spec.spec.concurrency, observation)
    )
    flow = min(serving, flow)
    if flow > kept:
        return Need(flow, Reason.STEADY_FLOW, f"{wanted.sentence}, but arrivals fill {flow}")
    if kept > wanted.replicas:
        return Need(
            kept,
            Reason.COOLING_DOWN,
            f"{wanted.sentence}; {kept} stay until fewer were enough for {format_duration(window)}",
        )
    return wanted


def _bounded(spec: QueueWorker, wanted: Need) -> Decision:
    scaling = spec.spec.scaling
    if wanted.replicas > scaling.max_replicas:
        return Decision(
            scaling.max_replicas, Reason.AT_MAX, f"{wanted.sentence}, which maxReplicas caps at {scaling.max_replicas}"
        )
    if wanted.replicas < scaling.min_replicas:
        return Decision(
            scaling.min_replicas, Reason.AT_MIN, f"{wanted.sentence}, which minReplicas raises to {scaling.min_replicas}"
        )
    return Decision(wanted.replicas, wanted.reason, wanted.sentence)


def _blind(spec: QueueWorker, observation: Observation, history: History) -> Decision:
    """An unreadable broker is not an empty one: hold, and leave zero, which is the one number nothing could recover from."""
    scaling = spec.spec.scaling
    pinned = history.pinned if history.pinned is not None else spec.spec.replicas
    if pinned is not None:
        return Decision(pinned, Reason.PINNED, f"pinned at {pinned}; the broker can't be read")
    held = history.replicas if history.replicas is not None else observation.serving
    if held == 0 and not (history.paused or spec.spec.paused):
        fallback = min(max(scaling.fallback_replicas, scaling.min_replicas), scaling.max_replicas)
        return Decision(
            fallback, Reason.FALLBACK, f"the broker can't be read and no worker runs, so {fallback} run until it can"
        )
    held = min(max(held, scaling.min_replicas), scaling.max_replicas)
    return Decision(held, Reason.UNREADABLE_HOLD, f"the broker can't be read, so {held} stay")
