"""The recorder: applies entries of the event stream to the records, each exactly once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from windrow.broker.events import ACCEPTED, Event
from windrow.records import clean, partitions, store
from windrow.records.fold import fold
from windrow.records.names import Names
from windrow.records.tables import SCHEMA

_log = structlog.get_logger(__name__)

Entry = tuple[str, list[Event]]
"""A stream entry: its id and its events."""

_Named = tuple[UUID, Event]
_Usable = tuple[str, list[_Named]]
"""An entry whose events can be recorded, each with its execution's id."""

BAD_DATA: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    TypeError,
    OverflowError,
)
"""What the database, or the way to it, says of a value; anything else means that the database is away."""


class Recorder:
    """Writes batches of one event stream to `engine`'s database.

    Several may run: each batch locks the stream's position, and entries at or before it are left out.
    """

    def __init__(self, engine: AsyncEngine, *, stream: str = "windrow:events") -> None:
        self.dropped = 0
        """Events that could not be recorded since this recorder was made; each is in the log."""
        self.told: set[int] | None = None
        """While this is a set, the executions that events are applied to are noted in it, by `clean.short`."""
        self._engine = engine
        self._stream = stream
        self._days: set[Any] = set()
        self._names: Names | None = None
        self._trusting = True

    async def position(self) -> str:
        """The id of the last entry on record; `0-0` before the first. Raises when the database is away."""
        async with self._connection() as connection:
            return await self._position(connection, lock=False)

    async def rewind(self) -> None:
        """Take the stream from its beginning: it is another one than the position belongs to."""
        async with self._connection() as connection:
            await self._move(connection, "0-0")

    async def apply(self, entries: Sequence[Entry]) -> None:
        """Put `entries`, in stream order, on record in one transaction.

        An event that the database can't take is logged and counted in `dropped`, the others of the batch are recorded.
        Raises what the database or its driver raises when it is away; then nothing of the batch is on record.
        """
        if not entries:
            return
        now = time.time()
        bad: list[tuple[str, Any]] = []
        usable: list[_Usable] = []
        for position, events in entries:
            named: list[_Named] = []
            for event in events:
                identity = clean.execution_id(event, now)
                if identity is None:
                    bad.append((position, event))
                else:
                    named.append((identity, event))
            usable.append((position, named))
        if self.told is not None:
            self.told.update(clean.short(identity) for _, named in usable for identity, _ in named)
        await self._apply_usable(usable)
        for position, event in bad:
            self._drop(position, event, "it has no usable execution id, or a kind this release does not know")

    async def _apply_usable(self, entries: Sequence[_Usable]) -> None:
        async with self._connection() as connection:
            await self._ensure_days(entries)
            try:
                await self._apply_trusting(connection, entries)
            except asyncpg.UndefinedTableError:
                # A partition that was there is gone (retention, or a restored database): make it and go on.
                self._days.clear()
                await self._ensure_days(entries)
                await self._apply_bisected(connection, entries)
            except BAD_DATA as error:
                _log.warning(
                    "a batch holds what the database can't take; it is split",
                    entries=len(entries),
                    error=str(error).split("\n")[0],
                )
                await self._apply_bisected(connection, entries)

    async def _apply_trusting(self, connection: asyncpg.Connection, entries: Sequence[_Usable]) -> None:
        """Apply without looking up what this batch accepts first; where that was on record already, look it up.

        The primary key of `executions` says so: a first acceptance always makes a row, and a row that is there refuses it,
        with the whole transaction.
        """
        if self._trusting:
            try:
                return await self._apply(connection, entries, trusting=True)
            except asyncpg.UniqueViolationError:
                self._trusting = False  # a stream read again has more of them: until a batch has none, look all up
            except BAD_DATA:
                pass  # said again below, where it is not a row that only seemed new
        return await self._apply(connection, entries)

    async def _apply_bisected(self, connection: asyncpg.Connection, entries: Sequence[_Usable]) -> None:
        try:
            await self._apply(connection, entries)
        except BAD_DATA as error:
            if len(entries) > 1:
                middle = len(entries) // 2
                await self._apply_bisected(connection, entries[:middle])
                await self._apply_bisected(connection, entries[middle:])
            elif len(entries[0][1]) > 1:
                await self._apply_one_by_one(connection, entries[0])
            else:
                position, events = entries[0]
                await self._apply(connection, [(position, [])])
                for _, event in events:
                    self._drop(position, event, str(error))

    async def _apply_one_by_one(self, connection: asyncpg.Connection, entry: _Usable) -> None:
        """The events of one entry, each under a savepoint, so that the position moves once with all that could be written."""
        position, events = entry
        async with connection.transaction():
            if _after(position, await self._position(connection, lock=True)):
                for event in events:
                    try:
                        async with connection.transaction():
                            await self._write(connection, [event])
                    except BAD_DATA as error:
                        self._drop(position, event[1], str(error))
                await self._move(connection, position)

    async def _apply(self, connection: asyncpg.Connection, entries: Sequence[_Usable], *, trusting: bool = False) -> None:
        async with connection.transaction():
            await connection.execute(store.PLAN)
            position = await self._position(connection, lock=True)
            new = [entry for entry in entries if _after(entry[0], position)]
            if not new:
                return
            await self._write(connection, [event for _, events in new for event in events], trusting=trusting)
            await self._move(connection, new[-1][0])

    async def _write(self, connection: asyncpg.Connection, events: Sequence[_Named], *, trusting: bool = False) -> None:
        if not events:
            return
        asked = {identity for identity, _ in events}
        fresh = _first_accepted(events)
        executions = await store.load_executions(connection, asked - fresh if trusting else asked)
        if not trusting:
            self._trusting = fresh.isdisjoint(executions)
        stored = {identity for identity, event in events if event.get("attempt")} & executions.keys()
        attempts = await store.load_attempts(connection, stored)
        rows = fold(events, executions, attempts)
        await store.save(connection, rows)
        names = await self._known_names(connection)
        await store.save_totals(connection, names.bound(rows.totals))

    def _drop(self, position: str, event: Any, error: str) -> None:
        self.dropped += 1
        # Neither the event's values nor the error's details, which repeat them, belong in a log.
        kind, identity = (event.get("k"), event.get("id")) if isinstance(event, dict) else (None, None)
        _log.error(
            "an event could not be recorded",
            entry=position,
            kind=str(kind)[:50],
            execution=str(identity)[:50],
            error=error.split("\n")[0],
        )

    async def _known_names(self, connection: asyncpg.Connection) -> Names:
        if self._names is None:
            records = await connection.fetch(f"SELECT kind, queue, task, label FROM {SCHEMA}.totals")  # noqa: S608
            self._names = Names(tuple(record) for record in records)
        return self._names

    async def _position(self, connection: asyncpg.Connection, *, lock: bool) -> str:
        table = f"{SCHEMA}.recorder_positions"
        select = f"SELECT position FROM {table} WHERE stream = $1{' FOR UPDATE' if lock else ''}"  # noqa: S608
        found = await connection.fetchval(select, self._stream)
        if found is None and lock:
            insert = f"INSERT INTO {table} VALUES ($1, '0-0') ON CONFLICT DO NOTHING"  # noqa: S608
            await connection.execute(insert, self._stream)
            found = await connection.fetchval(select, self._stream)
        return str(found) if found is not None else "0-0"

    async def _move(self, connection: asyncpg.Connection, position: str) -> None:
        update = f"UPDATE {SCHEMA}.recorder_positions SET position = $2 WHERE stream = $1"  # noqa: S608
        await connection.execute(update, self._stream, position)

    async def _ensure_days(self, entries: Sequence[_Usable]) -> None:
        ids = {identity for _, events in entries for identity, _ in events}
        missing = store.by_day(ids).keys() - self._days
        if missing:
            async with self._engine.begin() as connection:
                await partitions.ensure_days(connection, missing)
            self._days |= missing

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        """asyncpg's own connection out of the engine's pool; one that broke is not given back."""
        async with self._engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None  # noqa: S101  # a connection that was just made has one
            try:
                yield raw
            finally:
                if raw.is_closed() or raw.is_in_transaction():
                    await connection.invalidate()


def _first_accepted(events: Sequence[_Named]) -> set[UUID]:
    """Executions whose first event here is their first acceptance: `fold` makes a row of each that is not on record."""
    first: dict[UUID, Event] = {}
    for identity, event in events:
        first.setdefault(identity, event)
    return {identity for identity, event in first.items() if event["k"] == ACCEPTED and not event.get("retries")}


def _after(entry: str, position: str) -> bool:
    return order(entry) > order(position)


def order(entry: str) -> tuple[int, int]:
    """A stream entry's id as numbers that compare as the entries come."""
    ms, _, sequence = entry.partition("-")
    return int(ms), int(sequence or 0)
