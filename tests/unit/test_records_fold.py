"""What a batch of events makes of executions: the rules of the state machine and of the exact totals."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from windrow.broker.events import new_id
from windrow.records.clean import execution_id
from windrow.records.fold import fold
from windrow.records.rows import AttemptRow, ExecutionRow
from windrow.records.states import FINALS

ID = new_id(1_700_000_000.0)
A1, A2 = new_id(1_700_000_001.0), new_id(1_700_000_002.0)
CALL = {"queue": "default", "task": "a.task"}


def accepted(t=1_700_000_000.0, **more):
    return {"k": "accepted", "id": ID, "t": t, **CALL, "task_id": "T", "tag": "g1", "retries": 0, "message": "m", **more}


def started(attempt=A1, retries=0, t=1_700_000_001.0):
    return {"k": "started", "id": ID, "t": t, **CALL, "attempt": attempt, "worker": "w", "retries": retries, "wait": 1.0}


def ended(state, outcome=None, attempt=A1, t=1_700_000_003.0, retries=0, **more):
    event = {"k": "ended", "id": ID, "t": t, **CALL, "attempt": attempt, "outcome": outcome, "state": state}
    return event | {"worker": "w", "retries": retries, "run": 0.5, "wait": 1.0, "started": 1_700_000_002.0} | more


def recovered(state, outcome="killed", attempt=A1, recoveries=1):
    event = {"k": "recovered", "id": ID, "t": 1_700_000_009.0, "queue": "default", "worker": "w", "attempt": attempt}
    return event | {"outcome": outcome, "recoveries": recoveries, "state": state, "reason": "worker died"}


def moved(state, due=None):
    return {"k": "moved", "id": ID, "t": 1_700_000_001.0, **CALL, "state": state, "due": due, "reason": "eta"}


def run(*events, executions=None, attempts=None):
    return fold([(UUID(event["id"]), event) for event in events], executions or {}, attempts or {})


def one(rows):
    (row,) = rows.executions.values()
    return row


FAILED = ended("failed", "failed", error="ValueError", message="no")
RETRIED = ended(None, "retried", error="OSError")
RETRIED_GONE = {**recovered(None, "retried"), "recoveries": None}
REPLACED = accepted(t=1_700_000_004.0, nesting=1, tag="g3", message="m3", task="b.task")
GONE_ON = ended(None, "success", A2, retries=1, nesting=0, reason="replaced by b.task")
REFUSED = {"k": "refused", "id": ID, "t": 1_700_000_010.0, "what": "finish", "of": ended("success", "success")}
COPY = {"k": "refused", "id": ID, "t": 1_700_000_010.0, "what": "copy", "of": None}
AGAIN = accepted(t=1_700_000_003.0, retries=1, tag="g2", due=1_700_000_020.0, message="m2")


@pytest.mark.parametrize(
    ("events", "state", "attempts", "message"),
    [
        pytest.param([accepted()], "ready", 0, b"m", id="accepted"),
        pytest.param([accepted(due=1_700_000_060.0)], "delayed", 0, b"m", id="accepted with a due time ahead"),
        pytest.param([accepted(due=1_600_000_000.0)], "ready", 0, b"m", id="accepted with a due time that has passed"),
        pytest.param([accepted(), started()], "running", 1, b"m", id="started"),
        pytest.param([accepted(), ended("success", "success")], "success", 1, None, id="ended without started"),
        pytest.param([accepted(), started(), FAILED], "failed", 1, b"m", id="failed"),
        pytest.param([accepted(), started(), AGAIN], "retrying", 1, b"m2", id="a retry replaces the message"),
        pytest.param([accepted(), started(), AGAIN, RETRIED], "retrying", 1, b"m2", id="retried is said after the retry"),
        pytest.param([accepted(), started(), AGAIN, RETRIED_GONE], "retrying", 1, b"m2", id="its worker died before saying so"),
        pytest.param(
            [accepted(), started(), AGAIN, started(A2, 1), RETRIED], "running", 2, b"m2", id="the next attempt was quicker"
        ),
        pytest.param(
            [accepted(), started(), AGAIN, started(A2, 1), ended("retrying", "retried")], "running", 2, b"m2",
            id="an earlier attempt's end does not set the next one back",
        ),
        pytest.param([accepted(), AGAIN, started(A2, 1), REPLACED], "ready", 1, b"m3", id="a replacement starts anew"),
        pytest.param([accepted(), AGAIN, started(A2, 1), REPLACED, GONE_ON], "ready", 1, b"m3", id="its attempt ends later"),
        pytest.param([accepted(), REPLACED, AGAIN], "ready", 0, b"m3", id="a retry from before a replacement comes late"),
        pytest.param([accepted(), AGAIN, REPLACED, started(A2) | {"nesting": 1}], "running", 1, b"m3", id="a replacement runs"),
        pytest.param(
            [accepted(), AGAIN, REPLACED, started(A2, 1) | {"nesting": 0}], "ready", 1, b"m3", id="a start before it comes late"
        ),
        pytest.param([accepted(), started(), ended("ready", "handed_back")], "ready", 1, b"m", id="handed back"),
        pytest.param([accepted(), started(), recovered("ready")], "ready", 1, b"m", id="recovered"),
        pytest.param([accepted(), recovered("ready", None, None)], "ready", 0, b"m", id="recovered before it started"),
        pytest.param([accepted(), started(), recovered("ready"), REFUSED], "ready", 1, b"m", id="its late finish is refused"),
        pytest.param([accepted(), started(), COPY], "running", 1, b"m", id="a copy of its message was thrown away"),
        pytest.param([accepted(), started(), recovered("lost")], "lost", 1, b"m", id="recovered once too often"),
        pytest.param([accepted(), started(), AGAIN, started(A2, 1), recovered("ready", attempt=A2)], "ready", 2, b"m2",
                     id="a retry's attempt is recovered"),
        pytest.param([accepted(), moved("delayed", 1_700_000_050.0)], "delayed", 0, b"m", id="put back by a rate limit"),
        pytest.param([accepted(), ended("expired", None, None)], "expired", 0, b"m", id="expired"),
        pytest.param([accepted(), ended("cancelled", None, None)], "cancelled", 0, b"m", id="cancelled"),
        pytest.param([ended("rejected", None, None, task_id="T", tag="g")], "rejected", 0, None, id="never accepted"),
        pytest.param([ended("rejected", None, None, task_id="T", body="raw")], "rejected", 0, b"raw", id="its body is kept"),
        pytest.param([started()], "running", 1, None, id="its acceptance was never heard of"),
        pytest.param([accepted(), ended("success", "success"), FAILED], "success", 1, None, id="a final never changes"),
        pytest.param([accepted(), FAILED, accepted(), started(A2)], "failed", 1, b"m", id="nothing follows a final"),
        pytest.param([accepted(), FAILED, recovered("ready", attempt=A2)], "failed", 1, b"m", id="no recovery after a final"),
        pytest.param([accepted(), accepted()], "ready", 0, b"m", id="accepted twice"),
        pytest.param([accepted(), started(), accepted()], "running", 1, b"m", id="accepted again while it runs"),
        pytest.param([accepted(), ended("unheard of", "success")], "ready", 1, b"m", id="a state of a later release"),
    ],
)  # fmt: skip
def test_events_lead_to_states(events, state, attempts, message):
    """Each state follows from the events; the message is kept until the execution has succeeded."""
    rows = run(*events)
    row = one(rows)
    assert (row.state, row.attempt_count) == (state, attempts)
    assert rows.messages.get(row.id, (None, None))[1] == message
    assert (row.id in rows.finished) == (state in FINALS)
    assert (row.id in rows.spent) == (state == "success")


@pytest.mark.parametrize(
    ("events", "totals"),
    [
        ([accepted(), started()], {}),
        ([accepted(), ended("success", "success")], {"attempts:": 1, "finished:success": 1}),
        ([ended("success", "success")] * 3, {"attempts:": 1, "finished:success": 1}),
        # Its end is told by the refusal alone: it has a row, and counts.
        ([accepted(), started(), REFUSED], {"attempts:": 1, "refusals:finish": 1}),
        ([accepted(), REFUSED, REFUSED], {"attempts:": 1, "refusals:finish": 2}),
        ([accepted(), FAILED, FAILED], {"attempts:": 1, "failures:ValueError": 1, "finished:failed": 1}),
        (
            [accepted(), started(), AGAIN, RETRIED, RETRIED, ended("success", "success", A2, retries=1)],
            {"attempts:": 2, "retries:": 1, "failures:OSError": 1, "finished:success": 1},
        ),
        # The second attempt was over before the first one's worker had said "retried".
        (
            [accepted(), started(), AGAIN, ended("success", "success", A2, retries=1), RETRIED, RETRIED],
            {"attempts:": 2, "retries:": 1, "failures:OSError": 1, "finished:success": 1},
        ),
        (
            [accepted(), started(), AGAIN, ended("success", "success", A2, retries=1), RETRIED_GONE, RETRIED_GONE],
            {"attempts:": 2, "retries:": 1, "finished:success": 1},
        ),
        ([accepted(), started(), recovered("ready")], {"attempts:": 1, "failures:WorkerLost": 1}),
        (
            [accepted(), started(), recovered("ready"), REFUSED],
            {"attempts:": 1, "failures:WorkerLost": 1, "refusals:finish": 1},
        ),
        ([accepted(), COPY, COPY], {"refusals:copy": 2}),
        (
            [accepted(), ended("timed_out", "timed_out")],
            {"attempts:": 1, "failures:TimeLimitExceeded": 1, "finished:timed_out": 1},
        ),
        ([accepted(), ended("ready", "handed_back"), ended("ready", "handed_back")], {"attempts:": 1}),
        ([accepted(), ended("success", "success"), ended("success", "success", A2)], {"attempts:": 1, "finished:success": 1}),
    ],
)
@pytest.mark.parametrize("split", [False, True])
def test_totals_count_what_really_happened_once(events, totals, split):
    """An attempt counts when it first ends, a final once, whether the events come in one batch or in many."""
    if split:
        counted, executions, attempts = {}, {}, {}
        for event in events:
            rows = run(event, executions=executions, attempts=attempts)
            executions |= rows.executions
            attempts |= rows.attempts
            for key, value in rows.totals.items():
                counted[key] = counted.get(key, 0) + value
    else:
        counted = run(*events).totals
    assert {f"{kind}:{label}": n for (kind, _, _, label), n in counted.items() if n} == totals
    assert {key[1:3] for key in counted} <= {("default", "a.task")}


def test_the_log_of_an_attempt_is_kept_with_it():
    """Its end, 64 KiB, whatever became of it; the next attempt's is another."""
    rows = run(accepted(), ended("failed", "failed", log="x" * 70_000 + "the end"))
    (attempt,) = rows.attempts.values()
    assert len(attempt.log) == 65_536
    assert attempt.log.endswith("the end")
    (attempt,) = run(accepted(), ended("success", "success")).attempts.values()
    assert attempt.log is None


def test_a_log_that_was_left_out_is_counted_once():
    """An end says so; that it is told again changes nothing."""
    rows = run(accepted(), *[ended("success", "success", log=False)] * 2)
    (attempt,) = rows.attempts.values()
    assert attempt.log is None
    assert rows.totals["logs_dropped", "default", "other", ""] == 1


def test_the_trace_of_an_execution_is_that_of_its_acceptance():
    """A retry that says none keeps it."""
    rows = run({**accepted(), "trace": "ab" * 16}, {**AGAIN, "trace": None})
    assert one(rows).trace_id == "ab" * 16


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize(
    "events",
    [
        [started(), ended("success", "success")],
        [ended("success", "success")],
        [ended("success", "success"), started()],
        [started(), started(), recovered("ready")],
    ],
)
def test_a_start_counts_once_against_its_queues_objective(events, late):
    """Whichever event tells of it first, and however often it is told."""
    rows = run(accepted(), *({**event, "late": late} if event["k"] != "recovered" else event for event in events))
    starts = {key: number for key, number in rows.totals.items() if key[0] == "starts"}
    assert starts == {("starts", "default", "other", "late" if late else "in_time"): 1}


def test_a_start_without_an_objective_is_not_counted():
    """A worker whose spec promises nothing, or of an earlier release, says nothing of being late."""
    assert not [key for key in run(accepted(), started(), ended("success", "success")).totals if key[0] == "starts"]


def test_an_end_tells_the_wait_that_its_start_did_not():
    """What a start left out is not lost: its end says it too."""
    rows = run(accepted(), {**started(), "wait": None}, ended("success", "success"))
    (attempt,) = rows.attempts.values()
    assert attempt.wait_s == 1.0


def test_an_attempt_keeps_its_peak_and_the_end_of_its_log():
    """The peak beyond 2 GiB too; of the log the last 64 KiB."""
    rows = run(accepted(), ended("success", "success", peak=5_000_000_000, log="x" * 70_000 + "end"))
    (attempt,) = rows.attempts.values()
    assert attempt.peak_bytes == 5_000_000_000
    assert len(attempt.log) == 65_536
    assert attempt.log.endswith("xend")


def test_rejected_executions_are_counted_under_other():
    """A rejected message's task name is the sender's word: it must not make series without bounds."""
    rows = run(ended("rejected", None, None, task="x" * 50))
    assert dict(rows.totals) == {("finished", "default", "other", "rejected"): 1}


def test_an_attempt_tells_its_times_and_its_error():
    """Wait and run time, worker, exception class, text and traceback are the attempt's."""
    rows = run(accepted(), ended("failed", "failed", error="E", message="text", traceback="tb"))
    (attempt,) = rows.attempts.values()
    assert isinstance(attempt, AttemptRow)
    assert (attempt.error, attempt.message, attempt.traceback) == ("E", "text", "tb")
    assert (attempt.wait_s, attempt.run_s, attempt.worker) == (1.0, 0.5, "w")
    assert attempt.started_at == datetime.fromtimestamp(1_700_000_002.0, UTC)
    row = one(rows)
    assert (row.error, row.error_message, row.wait_s, row.run_s) == ("E", "text", 1.0, 0.5)


def test_a_success_after_a_failed_attempt_shows_no_error():
    """The execution's error is that of its last attempt."""
    row = one(run(accepted(), AGAIN, RETRIED, ended("success", "success", A2, retries=1, result="7")))
    assert (row.state, row.error, row.result, row.settled) == ("success", None, "7", True)


def test_a_final_on_record_never_changes():
    """What is on record as final is not touched, whatever comes."""
    stored = ExecutionRow(UUID(ID), "default", "a.task", None, "lost", tag="g1", stored=True)
    rows = run(accepted(), started(), ended("success", "success"), recovered("ready"), executions={stored.id: stored})
    assert not rows.executions
    assert not rows.totals
    assert not rows.attempts


def test_values_that_a_database_refuses_are_made_fit():
    """NUL, lone surrogates, endless texts, times out of any calendar: cut, replaced or left out, never an error."""
    rows = run(
        accepted(args="a\x00b\ud800", kwargs="k" * 5000, task_id="i" * 5000, due=1e300, expires=float("nan"), priority=10**30,
                 message='{"x": "\ud800"}', root=5, redo_of="no uuid", queue=None),
        ended("failed", "failed", message="\x00" * 9000, traceback="start" + "x" * 20_000 + "end", run=float("inf"), pid=-1,
              recoveries="many", t="noon"),
    )  # fmt: skip
    row = one(rows)
    assert row.args == "a\N{REPLACEMENT CHARACTER}b?"
    assert len(row.kwargs) == 1024
    assert row.due_at is row.expires_at is row.redo_of is row.finished_at is None
    (attempt,) = rows.attempts.values()
    assert attempt.traceback.endswith("end")
    assert len(attempt.traceback) == 16_384
    assert attempt.run_s is None


@pytest.mark.parametrize("tells", [started, lambda version=None: ended("success", "success")])
def test_an_attempt_says_which_release_ran_it(tells):
    """Whichever event tells of it first; a worker of a release that doesn't say leaves it open, and forgets nothing."""

    def version(*events):
        (attempt,) = run(accepted(), *events).attempts.values()
        return attempt.version

    assert version({**tells(), "version": "0.2.0"}) == "0.2.0"
    assert version(tells()) is None
    assert version({**started(), "version": "0.2.0"}, ended("success", "success")) == "0.2.0"


EACH = [
    accepted(),
    started(),
    {"k": "progress", "id": ID, "t": 1_700_000_002.0, "attempt": A1, "state": "HALF", "meta": "1"},
    RETRIED,
    AGAIN,
    moved("delayed", 1_700_000_050.0),
    recovered("ready", attempt=A2),
    REFUSED,
    ended("success", "success", A2, retries=1),
]


@pytest.mark.parametrize("later", [{"later": 1}, {"later": {"of": ["any"]}, "state_of_later": "x"}])
def test_fields_of_a_later_release_change_nothing(later):
    """Whatever they hold, in whichever event, inside `of` too."""
    told = [event | later | ({"of": event["of"] | later} if event.get("of") else {}) for event in EACH]
    assert run(*told) == run(*EACH) != run(*EACH[:-1])


@pytest.mark.parametrize("kind", sorted({event["k"] for event in EACH}))
def test_fields_that_an_earlier_release_did_not_tell_are_missed_by_nobody(kind):
    """An event with its kind, its execution and its time alone is recorded, before and after the others."""
    bare = {"k": kind, "id": ID, "t": 1_700_000_000.5}
    assert one(run(bare, *EACH, bare)).state == one(run(*EACH)).state


def test_kinds_of_a_later_release_are_passed_over():
    """They are about no execution, as far as this release knows."""
    assert execution_id({"k": "started", "id": ID}, 1_700_000_000.0) == UUID(ID)
    assert execution_id({"k": "a later kind", "id": ID}, 1_700_000_000.0) is None
