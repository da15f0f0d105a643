"""Everything that is remembered of a team or a project, as lines: read page by page, so that any amount fits in memory.

An export that broke off goes on from the cursor of its last checkpoint line. Lines are in the order project, sessions,
events, observations, so that what a line refers to stands before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from claude_mem import __version__
from claude_mem.model.documents import Document, dumps
from claude_mem.model.errors import NotFound
from claude_mem.model.records import SourceType
from claude_mem.model.times import now_us
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.transfer_format import KINDS, SECTIONS, Place, Section, header
from claude_mem.storage import audit, tenancy, transfer
from claude_mem.storage.cursors import Cursor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from claude_mem.model.records import AuditEntry
    from claude_mem.storage.database import Database, Row

_ORDER: dict[Section, str] = {"sessions": "started_at", "events": "occurred_at", "observations": "created_at"}

#: Who made an observation's source is kept in the database only: it names API keys.
_WITHHELD = frozenset({"actor_id", "api_key_id"})


@dataclass(frozen=True, slots=True)
class Exporter:
    """Reads one team, or one project of it.

    Parameters:
        project_id: the only project; None is the whole team.
    """

    database: Database
    team_id: str
    project_id: str | None

    async def begin(self, entry: AuditEntry, *, cursor: str | None) -> AsyncIterator[bytes]:
        """Check what is asked for, and note it in the audit log.

        Parameters:
            cursor: of a checkpoint line; None starts with the header.

        Returns: pages of whole lines.

        Raises: NotFound, InvalidInput for a strange cursor, Unavailable.
        """
        place = Place.decode(cursor) if cursor else None
        if place is not None and self.project_id not in {None, place.project.id}:
            raise NotFound("Project not found")
        with refuse_storage_errors():
            team = await tenancy.find_team(self.database, self.team_id)
            if team is None:
                raise NotFound("Team not found")
            if self.project_id is not None and not await self._has(self.project_id):
                raise NotFound("Project not found")
            await audit.append_alone(self.database, entry, now_us=now_us())
        return self._pages(place, team_name=team.name)

    async def _has(self, project_id: str) -> bool:
        return (
            await tenancy.find_project(self.database, project_id=project_id, team_id=self.team_id) is not None
        )

    async def _pages(self, place: Place | None, *, team_name: str) -> AsyncIterator[bytes]:
        counts = place.counts if place else (0,) * len(KINDS)
        if place is None:
            first = header(
                team_id=self.team_id, team_name=team_name, exported_us=now_us(), server=__version__
            )
            yield _lines([first])
        else:
            async for so_far, page in self._rest(place):
                counts = so_far
                yield page
        after = place.project if place else None
        while found := await tenancy.list_projects(
            self.database, team_id=self.team_id, project_id=self.project_id, after=after, limit=1
        ):
            after = Cursor(found[0]["created_at"], found[0]["id"])
            counts = (counts[0] + 1, *counts[1:])
            reached = Place(after, counts=counts)
            yield _lines([_project(found[0])], reached)
            async for so_far, page in self._rest(reached):
                counts = so_far
                yield page
        yield _lines([{"type": "end", "counts": dict(zip(KINDS, counts, strict=True))}])

    async def _rest(self, place: Place) -> AsyncIterator[tuple[tuple[int, ...], bytes]]:
        """What follows of the project in which the place is, with the counts up to there."""
        for section in SECTIONS[SECTIONS.index(place.section) :]:
            if section != place.section:
                place = Place(place.project, section, counts=place.counts)
            while found := await transfer.page(
                self.database,
                section,
                team_id=self.team_id,
                project_id=place.project.id,
                after=place.row,
            ):
                number = KINDS.index(section)
                counts = tuple(
                    count + len(found) if at == number else count for at, count in enumerate(place.counts)
                )
                row = Cursor(found[-1][_ORDER[section]], found[-1]["id"])
                place = replace(place, row=row, counts=counts)
                yield counts, _lines(await self._shown(section, found), place)

    async def _shown(self, section: Section, found: Sequence[Row]) -> list[dict[str, Any]]:
        if section == "sessions":
            return [_session(row) for row in found]
        if section == "events":
            return [_event(row) for row in found]
        sources = await transfer.sources_of(self.database, [row["id"] for row in found])
        return [_observation(row, sources.get(row["id"], [])) for row in found]


def _lines(documents: Sequence[Mapping[str, Any]], place: Place | None = None) -> bytes:
    checkpoint = [{"type": "checkpoint", "cursor": place.encode()}] if place else []
    return b"".join(dumps(document) + b"\n" for document in [*documents, *checkpoint])


def _project(row: Row) -> dict[str, Any]:
    return {
        "type": "project",
        "id": row["id"],
        "name": row["name"],
        "metadata": Document(row["metadata"]),
    }


def _session(row: Row) -> dict[str, Any]:
    return {
        "type": "session",
        "id": row["id"],
        "projectId": row["project_id"],
        "externalSessionId": row["external_session_id"],
        "idempotencyKey": row["idempotency_key"],
        "contentSessionId": row["content_session_id"],
        "agentId": row["agent_id"],
        "agentType": row["agent_type"],
        "platformSource": row["platform_source"],
        "generationStatus": row["generation_status"],
        "metadata": Document(row["metadata"]),
        "startedAtUs": row["started_at"],
        "endedAtUs": row["ended_at"],
        "lastGeneratedAtUs": row["last_generated_at"],
        "createdAtUs": row["created_at"],
        "updatedAtUs": row["updated_at"],
    }


def _event(row: Row) -> dict[str, Any]:
    return {
        "type": "event",
        "id": row["id"],
        "projectId": row["project_id"],
        "serverSessionId": row["server_session_id"],
        "contentSessionId": row["content_session_id"],
        "sourceAdapter": row["source_adapter"],
        "sourceEventId": row["source_event_id"],
        "idempotencyKey": row["idempotency_key"],
        "eventType": row["event_type"],
        "platformSource": row["platform_source"],
        "payload": Document(row["payload"]),
        "metadata": Document(row["metadata"]),
        "occurredAtUs": row["occurred_at"],
        "receivedAtUs": row["received_at"],
        "createdAtUs": row["created_at"],
    }


def _observation(row: Row, sources: Sequence[Row]) -> dict[str, Any]:
    return {
        "type": "observation",
        "id": row["id"],
        "projectId": row["project_id"],
        "serverSessionId": row["server_session_id"],
        "kind": row["kind"],
        "content": row["content"],
        "metadata": Document(row["metadata"]),
        "createdAtUs": row["created_at"],
        "updatedAtUs": row["updated_at"],
        "sources": [_source(source) for source in sources],
    }


def _source(row: Row) -> dict[str, Any]:
    metadata = Document(row["metadata"]).members
    return {
        "type": SourceType(row["source_type"]),
        "id": row["source_id"],
        "metadata": {name: value for name, value in metadata.items() if name not in _WITHHELD},
        "createdAtUs": row["created_at"],
    }
