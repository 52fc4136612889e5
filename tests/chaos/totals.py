"""The accounts of a run's exact figures: the totals that Windrow keeps, what SQL counts over its records, what a scrape says.

Two accounts that are compared are taken at one moment: the first two in one transaction, the last two once nothing more comes.
"""

from __future__ import annotations

import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.chaos import records

Key = tuple[str, str, str, str]
"""What was counted, queue, task, and the final state or the error's class."""
Account = Mapping[Key, int]
Pair = tuple[str, Account, Account]
"""Two accounts of the same, and what they are."""

KINDS: Mapping[str, tuple[str, str]] = {
    "windrow_executions_finished_total": ("finished", "state"),
    "windrow_attempts_total": ("attempts", ""),
    "windrow_retries_total": ("retries", ""),
    "windrow_failures_total": ("failures", "error"),
}
"""For each exact metric the kind of total, and the label that tells its figures apart."""
_KEPT = "select kind, queue, task, label, value from windrow.totals where value > 0 and kind = any($1)"
_COUNTED = """
select 'finished', e.queue, case when s.code = 'rejected' then 'other' else e.task end, s.code, count(*)
  from windrow.executions e join windrow.execution_statuses s on s.id = e.status_id where s.id > 4 group by 1, 2, 3, 4
union all select 'attempts', queue, task, '', count(*) from windrow.attempts where outcome is not null group by 1, 2, 3, 4
union all select 'retries', queue, task, '', count(*) from windrow.attempts where outcome = 'retried' group by 1, 2, 3, 4
union all select 'failures', queue, task, error, count(*) from windrow.attempts where error is not null group by 1, 2, 3, 4
"""
PATIENCE_SECONDS = 20.0
"""A page shows figures a second old, and what the recorder writes last may come after the last final."""


def kept_and_counted(url: str) -> Pair:
    """The totals and what SQL counts over the rows, seen in one snapshot."""

    async def both(link: Any) -> tuple[Account, Account]:
        async with link.transaction(isolation="repeatable_read", readonly=True):
            kept = await link.fetch(_KEPT, [kind for kind, _ in KINDS.values()])
            return _account(map(tuple, kept)), _account(map(tuple, await link.fetch(_COUNTED)))

    return ("the totals and the records", *records.ask(url, both))


def kept_and_exported(url: str, pages: Iterable[str]) -> Pair:
    """The totals and what the leading one of these servers tells Prometheus, once they agree or patience ends.

    Raises RuntimeError when none of them leads.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    addresses = list(pages)
    while True:
        told = exported(addresses)
        _, kept, _ = kept_and_counted(url)
        late = time.monotonic() > deadline
        if told is not None and (told == kept or late):
            return "the totals and the leading server's page", kept, told
        if late:
            raise RuntimeError(f"a server must lead at the end of a row, and none of {', '.join(addresses)} does")
        time.sleep(0.2)


def exported(pages: Iterable[str]) -> Account | None:
    """The exact figures above zero of the page of whoever leads; None when nobody does."""
    for address in pages:
        with suppress(OSError), urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            text = answer.read().decode()
            if "windrow_leader 1.0" in text and "windrow_attempts_total" in text:
                return parse(text)
    return None


def parse(text: str) -> Account:
    """The exact figures above zero of one page."""
    found: Counter[Key] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in KINDS and sample.value:
                kind, label = KINDS[sample.name]
                found[kind, sample.labels["queue"], sample.labels["task"], sample.labels.get(label, "")] += int(sample.value)
    return dict(found)


def apart(pairs: Iterable[Pair]) -> list[str]:
    """Each figure that two accounts have otherwise, in one sentence."""
    return [
        f"{what} differ: {' '.join(filter(None, key))} {one.get(key, 0)} and {other.get(key, 0)}"
        for what, one, other in pairs
        for key in sorted({*one, *other})
        if one.get(key, 0) != other.get(key, 0)
    ]


def _account(rows: Iterable[tuple[Any, ...]]) -> Account:
    return {(str(kind), str(queue), str(task), str(label)): int(value) for kind, queue, task, label, value in rows}
