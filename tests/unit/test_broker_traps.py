# ruff: noqa: E501 - a trap and its test on one line
"""Where each trap of Celery on Redis, and of a transport that takes atomically, is tested."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

TRAPS = {
    "a kill between BRPOP and the note of it loses the message": "integration/test_broker_kill.py::test_kill_9_of_workers_and_children_loses_nothing",
    "a visibility timeout shared by all queues repeats what runs": "integration/test_broker_traps.py::test_an_acknowledgement_waits_for_no_other_task",
    "an acknowledgement waits for another task": "integration/test_broker_traps.py::test_an_acknowledgement_waits_for_no_other_task",
    "lists by priority step, pushed left and taken right": "unit/test_broker_pins.py::test_kombus_key_layout",
    "priority steps out of order": "integration/test_broker_take.py::test_priorities_come_first_and_each_in_its_order",
    "a worker hoards ETA messages": "integration/test_broker_take.py::test_a_stock_producers_eta_is_parked_not_hoarded",
    "a timer that fires in a pending BRPOP leaves a message in the socket": "integration/test_broker_take.py::test_a_delay_waits_in_redis_and_fires_within_a_second",
    "a lost broker connection repeats running tasks": "integration/test_broker_take.py::test_a_worker_comes_back_when_redis_does",
    "Redis frozen: calls block, or a call of before is carried out after": "integration/test_broker_redis_away.py::test_a_frozen_redis_is_waited_for",
    "a call that hung takes for a connection that is gone": "integration/test_broker_scripts.py::test_a_call_of_an_older_connection_is_refused",
    "a call whose answer was lost took messages": "unit/test_broker_inflight.py::test_what_a_lost_call_took_is_adopted",
    "a task that kills its worker is repeated for ever": "integration/test_broker_kill.py::test_a_killing_task_ends_lost_after_its_recoveries",
    "SIGTERM loses or repeats what was taken ahead": "integration/test_broker_kill.py::test_sigterm_finishes_what_runs_and_hands_back_the_rest",
    "a retry is published before its old message is acknowledged": "integration/test_broker_scripts.py::test_a_retry_takes_its_messages_place",
    "revocation in worker memory is gone at zero workers": "integration/test_broker_take.py::test_a_revoked_task_never_starts_though_no_worker_was_there",
    "a rate limit is each worker's": "integration/test_broker_take.py::test_a_queues_rate_limit_holds_however_many_workers",
    "Lua's cjson changes a message": "integration/test_broker_scripts.py::test_bytes_are_kept_as_they_are",
    "a publish wakes every idle worker": "integration/test_broker_wakeups.py::test_a_publish_wakes_one_of_twenty_idle_workers",
    "one waker for a queue dies": "integration/test_broker_wakeups.py::test_a_dead_listener_leaves_the_queue_deaf_no_longer_than_a_look",
    "what is taken ahead waits behind a long task": "integration/test_prefork_ahead.py::test_what_waits_behind_long_tasks_goes_back_to_its_queue",
    "taking ahead hoards long tasks": "unit/test_broker_inflight.py::test_nothing_is_taken_ahead_before_run_times_are_known_nor_of_long_tasks",
    "kombu's hub computes its timeout before its ticks": "unit/test_broker_pins.py::test_the_hub_computes_its_timeout_before_its_ticks",
    "the solo pool runs tasks inside delivery": "unit/test_queues_bad_input.py::test_one_sentence_with_its_line",
    "prefetch that is switched off is a patched boolean": "unit/test_broker_inflight.py::test_no_more_is_delivered_than_there_are_slots",
    "kombu restores at close only what it noted itself": "integration/test_broker_kill.py::test_a_second_sigterm_stops_at_once_and_loses_nothing",
    "consumers without acknowledgement": "integration/test_broker_take.py::test_remote_control_works",
    "RESP3 parsed in Python": "unit/test_broker_pins.py::test_hiredis_tells_pushes_from_replies",
    "a proxy or an ACL without RESP3 or tracking": "integration/test_broker_take.py::test_a_worker_without_client_tracking_looks_by_itself",
    "TLS holds what the socket no longer announces": "integration/test_broker_tls.py::test_messages_larger_than_a_read_arrive_whole_over_tls",
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_each_trap_has_its_test(trap: str) -> None:
    """The test that is named for a trap is there."""
    file, _, name = TRAPS[trap].partition("::")
    assert f"\ndef {name}(" in (TESTS / file).read_text(encoding="utf-8")
