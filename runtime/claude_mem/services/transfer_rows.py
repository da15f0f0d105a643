"""A batch of an import becomes rows, in one transaction: under their own ids where those are free, else under derived ones.

No row of another project is ever changed or linked to: an id that stands for one is replaced by a name that follows from
the project and the id, so that the same import finds its own rows again.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from claude_mem.model.identity import new_id
from claude_mem.model.records import SourceType
from claude_mem.services.transfer_format import EventLine, ObservationLine, SessionLine
from claude_mem.services.transfer_keys import Keys
from claude_mem.services.transfer_lines import event_row, observation_row, session_row
from claude_mem.storage import sessions, transfer
from claude_mem.storage.database import Retryable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from claude_mem.services.transfer_lines import Item
    from claude_mem.storage.database import Executor
    from claude_mem.storage.transfer import Table

_NAMES: Final = uuid.UUID("5f0c3c2a-6a0e-5f6e-9a39-0d6d7a3f8c11")

#: Rows that were found under another id are remembered up to this many, for what refers to them later.
MOST_MERGED: Final = 100_000


@dataclass(slots=True)
class Outcome:
    """What became of rows.

    Parameters:
        stored, duplicates: how many, by kind.
        unlinked: references to what is neither in the import nor in the project.
        merged: ids of rows that were there under another id, by table and id in the import.
    """

    stored: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    unlinked: int = 0
    redactions: int = 0
    merged: dict[tuple[Table, str, str], str] = field(default_factory=dict)

    def add(self, other: Outcome) -> None:
        """Count another's too."""
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.unlinked += other.unlinked
        self.redactions += other.redactions
        room = MOST_MERGED - len(self.merged)
        self.merged |= dict(list(other.merged.items())[: max(0, room)])


def derived_id(project_id: str, given: str) -> str:
    """The id of a row whose own is taken elsewhere: a UUID of version 5 over the project and the id."""
    return str(uuid.uuid5(_NAMES, f"{project_id}\n{given}"))


@dataclass(frozen=True, slots=True)
class Batch:
    """Stores items of one project.

    Parameters:
        source_team_id: the team of the export, by which its keys were computed.
        merged: of the batches before.
    """

    executor: Executor
    team_id: str
    project_id: str
    source_team_id: str | None
    merged: Mapping[tuple[Table, str, str], str]
    outcome: Outcome

    async def store(self, items: Sequence[Item]) -> None:
        """Store what is not there yet.

        Raises: Retryable, ReferenceViolation, ValueRefused.
        """
        for table, kind in (
            ("sessions", SessionLine),
            ("events", EventLine),
            ("observations", ObservationLine),
        ):
            chosen = [item for item in items if isinstance(item.line, kind)]
            if chosen:
                await self._store(table, chosen)  # type: ignore[arg-type] # the names above are tables
        self.outcome.redactions += sum(item.redactions for item in items)

    async def _store(self, table: Table, items: Sequence[Item]) -> None:
        known = await self._scopes(table, (item.id for item in items))
        linked = await self._linked("sessions", (item.values.get("server_session_id") for item in items))
        rows: dict[str, dict[str, Any]] = {}
        of_rows: dict[str, Item] = {}
        for item in items:
            row_id, present = self._own(item.id, known)
            if present or row_id in rows:
                self.outcome.duplicates[table] += 1
                continue
            of_rows[row_id] = item
            rows[row_id] = self._row(table, item, row_id=row_id, linked=linked)
        stored = await transfer.insert(self.executor, table, list(rows.values()))
        self.outcome.stored[table] += len(stored)
        self.outcome.duplicates[table] += len(rows) - len(stored)
        left = [row for row_id, row in rows.items() if row_id not in stored]
        if left:
            await self._merge(table, left, of_rows)
        if table == "observations":
            await self._sources({row_id: of_rows[row_id] for row_id in rows if row_id in stored})

    def _row(self, table: Table, item: Item, *, row_id: str, linked: Mapping[str, str]) -> dict[str, Any]:
        named = item.values.get("server_session_id")
        session_id = linked.get(named) if named else None
        self.outcome.unlinked += bool(named and session_id is None)
        scope = {"id": row_id, "team_id": self.team_id, "project_id": self.project_id}
        keys = Keys(self.source_team_id, self.team_id, self.project_id)
        if table == "sessions":
            return session_row(item) | scope | {"idempotency_key": keys.of_session(item)}
        if table == "events":
            key = keys.of_event(item, session_id=session_id)
            return event_row(item) | scope | {"server_session_id": session_id, "idempotency_key": key}
        return observation_row(item) | scope | {"server_session_id": session_id}

    async def _scopes(self, table: Table, ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        given = set(ids)
        both = given | {derived_id(self.project_id, one) for one in given}
        return await transfer.scopes(self.executor, table, both)

    def _own(self, given: str, known: Mapping[str, tuple[str, str]]) -> tuple[str, bool]:
        """The id of a row here, and whether it is there already."""
        here = (self.team_id, self.project_id)
        derived = derived_id(self.project_id, given)
        for candidate in (derived, given):
            if known.get(candidate) == here:
                return candidate, True
        return (derived if given in known else given), False

    async def _linked(self, table: Table, ids: Iterable[str | None]) -> dict[str, str]:
        """Rows of this project that references mean, by their ids in the import."""
        wanted = {one for one in ids if one}
        found = {one: self.merged.get((table, self.project_id, one)) for one in wanted}
        found |= {one: self.outcome.merged.get((table, self.project_id, one)) or found[one] for one in wanted}
        known = await self._scopes(table, (one for one in wanted if not found[one]))
        for one in wanted:
            row_id, present = self._own(one, known)
            found[one] = found[one] or (row_id if present else None)
        return {one: row_id for one, row_id in found.items() if row_id}

    async def _merge(
        self, table: Table, left: Sequence[Mapping[str, Any]], of_rows: Mapping[str, Item]
    ) -> None:
        """Find what was there instead of rows that were not stored: sessions and events by their keys."""
        taken = await transfer.scopes(self.executor, table, (row["id"] for row in left))
        here = (self.team_id, self.project_id)
        if any(scope != here for scope in taken.values()):
            raise Retryable("an id was taken while it was imported")
        for row in left:
            if row["id"] not in taken:
                twin = await self._twin(table, row)
                if twin is not None:
                    self.outcome.merged[table, self.project_id, of_rows[row["id"]].id] = twin

    async def _twin(self, table: Table, row: Mapping[str, Any]) -> str | None:
        scope = {"team_id": self.team_id, "project_id": self.project_id}
        if table == "events":
            found = await self.executor.fetch("events.by_keys", keys=[row["idempotency_key"]])
            return next((one["id"] for one in found if one["project_id"] == self.project_id), None)
        session = None
        if table == "sessions" and row["external_session_id"]:
            session = await sessions.find_by_external(
                self.executor,
                external_id=row["external_session_id"],
                platform=row["platform_source"],
                **scope,
            )
        if table == "sessions" and session is None and row["idempotency_key"]:
            session = await sessions.find_by_key(self.executor, row["idempotency_key"], **scope)
        return session.id if session else None

    async def _sources(self, items: Mapping[str, Item]) -> None:
        entries = [
            (row_id, entry, metadata)
            for row_id, item in items.items()
            if isinstance(item.line, ObservationLine)
            for entry, metadata in zip(item.line.sources, item.sources, strict=True)
        ]
        of_events = await self._linked(
            "events", (entry.id for _, entry, _ in entries if entry.type is SourceType.AGENT_EVENT)
        )
        of_sessions = await self._linked(
            "sessions", (entry.id for _, entry, _ in entries if entry.type is SourceType.SESSION_SUMMARY)
        )
        rows = []
        for row_id, entry, metadata in entries:
            if entry.type is SourceType.AGENT_EVENT:
                source_id = of_events.get(entry.id)
            elif entry.type is SourceType.SESSION_SUMMARY:
                source_id = of_sessions.get(entry.id)
            else:
                source_id = row_id
            if source_id is None:
                self.outcome.unlinked += 1
                continue
            rows.append(
                {
                    "id": new_id(),
                    "observation_id": row_id,
                    "agent_event_id": source_id if entry.type is SourceType.AGENT_EVENT else None,
                    "source_type": str(entry.type),
                    "source_id": source_id,
                    "metadata": metadata.text,
                    "created_at": entry.created_at_us,
                }
            )
        await transfer.insert_sources(self.executor, rows)
