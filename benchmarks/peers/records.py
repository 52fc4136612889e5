"""What each contestant keeps on record of a task as it comes: facts of its documentation and its source, not measurements.

Each record's comment names the page, or the file of the pinned release, that says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """What is known of one task in each of its states, and where for how long."""

    queued: str
    running: str
    finished: str
    error: str
    result: str
    where: str
    how_long: str


NOTHING = "nothing"

RECORDS = {
    # docs/records.md
    "Windrow": Record(
        queued="when, queue, arguments (redacted)",
        running="each attempt: since when, which worker, how long it waited",
        finished="state, times, each attempt's outcome and running time",
        error="class, text, traceback of each attempt",
        result="a bounded view",
        where="PostgreSQL",
        how_long="30 days; what is not final stays",
    ),
    # docs.celeryq.dev, "Using Redis" (unacked and the visibility timeout), "Configuration and defaults" (result_backend has no
    # default, result_expires 1 day, task_track_started off).
    "Celery": Record(
        queued="the message",
        running="nothing: acknowledged at the start (with acks_late the message, taken when)",
        finished="nothing without a result backend; with one, state and time of the end",
        error="in the worker's log; class, text, traceback with a result backend",
        result="with a result backend",
        where="Redis",
        how_long="the message until acknowledged; a result 1 day",
    ),
    # dramatiq.io/reference.html: RedisBroker (dead_message_ttl), Retries, Results (result_ttl); dramatiq/brokers/redis.py,
    # dramatiq/middleware/retries.py (the traceback is an option of the message).
    "Dramatiq": Record(
        queued="the message with its time",
        running="the message, and which worker has it",
        finished=NOTHING,
        error="traceback in the message while it is retried, and in its dead letter",
        result="with the Results middleware",
        where="Redis",
        how_long="the message until done; a dead letter 7 days; a result 10 minutes",
    ),
    # python-rq.org/docs/job_registries, /docs/results, /docs/exceptions; rq/defaults.py (DEFAULT_RESULT_TTL,
    # DEFAULT_FAILURE_TTL).
    "RQ": Record(
        queued="job, arguments, when",
        running="since when, which worker",
        finished="state, times",
        error="traceback",
        result="return value",
        where="Redis",
        how_long="500 s after success, a year after failure",
    ),
    # arq-docs.helpmanual.io, "Pessimistic execution", "Retrieving job results", Worker(keep_result); arq/constants.py
    # (expires_extra_ms), arq/jobs.py (JobResult).
    "arq": Record(
        queued="job, arguments, when",
        running="that it runs, not where or since when",
        finished="success or not, times, tries",
        error="the exception as the result",
        result="return value",
        where="Redis",
        how_long="a job that is never started 1 day; a result 1 hour",
    ),
    # github.com/taskiq-python/taskiq-redis (RedisStreamBroker: maxlen; result_ex_time), taskiq-python.github.io, "Available
    # result backends" (the default one stores nothing); taskiq_redis/redis_broker.py (acknowledges, does not delete).
    "Taskiq": Record(
        queued="the message",
        running="the message, which consumer has it, for how long",
        finished="nothing without a result backend; the message stays in the stream without a state",
        error="in the worker's log; with a result backend the exception",
        result="with a result backend, with its running time",
        where="Redis",
        how_long="the stream for ever unless maxlen is set; a result for ever unless result_ex_time is set",
    ),
    # procrastinate.readthedocs.io, "Delete finished jobs"; procrastinate/sql/schema.sql (procrastinate_jobs,
    # procrastinate_events).
    "Procrastinate": Record(
        queued="job, arguments, when",
        running="since when, which worker",
        finished="state, attempts, times of all events",
        error="in the worker's log; on record that it failed",
        result="in the worker's log",
        where="PostgreSQL",
        how_long="until deleted: never by default",
    ),
}
"""By the contestant's name; a contestant that is another's variant has none of its own."""
