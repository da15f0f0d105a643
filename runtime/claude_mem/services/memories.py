"""Memories: observations that people and agents write, read, correct and remove themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from claude_mem.model.errors import Forbidden, InvalidInput, Issue, NotFound
from claude_mem.model.identity import new_id
from claude_mem.model.records import Observation, ObservationSource
from claude_mem.model.times import now_us
from claude_mem.services.cleaning import clean, clean_text
from claude_mem.services.paging import Page, page_of
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.scope import require_project, require_session
from claude_mem.storage import audit, events, observations, rows, tenancy
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database, Executor, run_transaction

if TYPE_CHECKING:
    from claude_mem.model.records import AuditEntry
    from claude_mem.services.context import RequestContext


#: Characters of texts and metadata after which a page of a list ends; the next goes on behind it.
PAGE_CHARACTERS = 32 * 2**20

#: Looks at a memory that is about to change, and raises where it may not.
Check = Callable[[Observation], None]


@dataclass(frozen=True, slots=True)
class MemoryInput:
    """A memory as it was received."""

    project_id: str
    content: str
    kind: str = "manual"
    server_session_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemoryChange:
    """What to change of a memory; None leaves a member as it is, metadata is replaced as a whole."""

    content: str | None = None
    kind: str | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A memory as it is now.

    Parameters:
        redactions: private spans and secrets taken out of what was received.
    """

    memory: Observation
    redactions: int


class MemoryService:
    """Writes and reads memories within the caller's scope."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, context: RequestContext, received: MemoryInput) -> Written:
        """Store a memory.

        Raises: Forbidden, InvalidInput when nothing is left of the content after privacy, Unavailable.
        """
        team_id = context.team_id
        context.check_project(received.project_id)
        content, removed = _clean_content(received.content)
        kind, in_kind = clean_text(received.kind)
        metadata = clean(received.metadata)
        now = now_us()
        memory = Observation(
            id=new_id(),
            project_id=received.project_id,
            team_id=team_id,
            server_session_id=received.server_session_id,
            kind=kind,
            content=content,
            metadata=metadata.document,
            created_ms=now // 1000,
            updated_ms=now // 1000,
        )

        async def store(transaction: Executor) -> None:
            await _check_scope(transaction, memory)
            await observations.insert(transaction, memory)
            entry = context.audit(
                "memory.write", "observation", resource_id=memory.id, project_id=memory.project_id
            )
            await audit.append(transaction, [entry], now_us=now)

        with refuse_storage_errors():
            await run_transaction(self._database, store)
        return Written(memory, removed + in_kind + metadata.removed)

    async def get(self, context: RequestContext, memory_id: str) -> Observation:
        """Raises: NotFound in another team, Forbidden in a sibling project."""
        memory = await observations.find(self._database, memory_id, team_id=context.team_id)
        found = _visible(context, memory)
        entry = context.audit(
            "observation.read", "observation", resource_id=found.id, project_id=found.project_id, mode="get"
        )
        await _audit_read(self._database, entry)
        return found

    async def list_page(
        self,
        context: RequestContext,
        *,
        project_id: str | None,
        kind: str | None,
        session_id: str | None,
        cursor: str | None,
        limit: int,
    ) -> Page[Observation]:
        """Memories of the caller's scope, newest first; fewer than `limit` where texts are long.

        Raises: Forbidden for a project outside the key's, InvalidInput for a foreign cursor.
        """
        team_id = context.team_id
        if project_id is not None:
            await require_project(self._database, context, project_id=project_id)
        found = await observations.list_rows(
            self._database,
            team_id=team_id,
            project_id=project_id or context.principal.project_id,
            kind=kind,
            session_id=session_id,
            before=Cursor.decode(cursor),
            limit=limit + 1,
            most=PAGE_CHARACTERS,
        )
        brought = sum(row["content"] is not None for row in found)
        page = page_of(found, min(limit, brought), convert=rows.observation)
        entry = context.audit(
            "observation.read",
            "observation",
            resource_id=None,
            project_id=project_id or context.principal.project_id,
            mode="list",
            limit=limit,
            resultCount=len(page.items),
        )
        await _audit_read(self._database, entry)
        return page

    async def change(
        self, context: RequestContext, memory_id: str, *, wanted: MemoryChange, check: Check | None = None
    ) -> Written:
        """Correct a memory.

        Parameters:
            check: is shown the memory before anything is changed, while nobody else can change it, and may raise.

        Raises: NotFound, Forbidden, InvalidInput, Unavailable, and what `check` does.
        """
        removed = 0
        if wanted.content is not None:
            content, removed = _clean_content(wanted.content)
            wanted = replace(wanted, content=content)
        if wanted.kind is not None:
            kind, in_kind = clean_text(wanted.kind)
            wanted, removed = replace(wanted, kind=kind), removed + in_kind
        metadata = clean(wanted.metadata) if wanted.metadata is not None else None
        removed += metadata.removed if metadata else 0

        async def store(transaction: Executor) -> Observation:
            now = now_us()
            memory = _visible(
                context, await observations.find_to_update(transaction, memory_id, team_id=context.team_id)
            )
            if check is not None:
                check(memory)
            changed = await observations.update(
                transaction,
                memory.id,
                team_id=memory.team_id,
                content=memory.content if wanted.content is None else wanted.content,
                kind=wanted.kind or memory.kind,
                metadata=metadata.document if metadata else memory.metadata,
                now_us=now,
            )
            entry = context.audit(
                "memory.update",
                "observation",
                resource_id=memory.id,
                project_id=memory.project_id,
                changed=sorted(
                    name for name in ("content", "kind", "metadata") if getattr(wanted, name) is not None
                ),
            )
            await audit.append(transaction, [entry], now_us=now)
            return _visible(context, changed)

        with refuse_storage_errors():
            return Written(await run_transaction(self._database, store), removed)

    async def delete(self, context: RequestContext, memory_id: str, *, check: Check | None = None) -> None:
        """Remove a memory for good.

        Parameters:
            check: as for a change.

        Raises: NotFound when there is none within the caller's scope, and what `check` does.
        """

        async def store(transaction: Executor) -> None:
            if check is not None:
                held = await observations.find_to_update(transaction, memory_id, team_id=context.team_id)
                if held is None or not context.sees_project(held.project_id):
                    raise NotFound("Memory not found")
                check(held)
            project_id = await observations.delete(
                transaction, memory_id, team_id=context.team_id, project_id=context.principal.project_id
            )
            if project_id is None:
                raise NotFound("Memory not found")
            entry = context.audit(
                "observation.deleted", "observation", resource_id=memory_id, project_id=project_id, via="api"
            )
            await audit.append(transaction, [entry], now_us=now_us())

        with refuse_storage_errors():
            await run_transaction(self._database, store)

    async def of_event(
        self, context: RequestContext, event_id: str
    ) -> list[tuple[Observation, ObservationSource]]:
        """What was made from an event, oldest first.

        Raises: NotFound in another team, Forbidden in a sibling project.
        """
        event = await events.find(self._database, event_id, team_id=context.team_id)
        if event is None:
            raise NotFound("Event not found")
        context.check_project(event.project_id)
        found = await observations.of_event(
            self._database, event_id, team_id=event.team_id, project_id=event.project_id
        )
        entry = context.audit(
            "observation.read",
            "observation",
            resource_id=None,
            project_id=event.project_id,
            mode="event_observations",
            eventId=event_id,
            resultCount=len(found),
            observationIds=[observation.id for observation, _ in found],
        )
        await _audit_read(self._database, entry)
        return found


async def _audit_read(database: Database, entry: AuditEntry) -> None:
    await audit.append_alone(database, entry, now_us=now_us())


async def _check_scope(executor: Executor, memory: Observation) -> None:
    teams = await tenancy.lock_shared(executor, {memory.project_id})
    if teams.get(memory.project_id) != memory.team_id:
        raise Forbidden("project_id must belong to team_id")
    if memory.server_session_id is not None:
        await require_session(
            executor,
            session_id=memory.server_session_id,
            team_id=memory.team_id,
            project_id=memory.project_id,
        )


def _visible(context: RequestContext, memory: Observation | None) -> Observation:
    if memory is None:
        raise NotFound("Memory not found")
    context.check_project(memory.project_id)
    return memory


def _clean_content(content: str) -> tuple[str, int]:
    left, removed = clean_text(content)
    if removed and not left.strip():
        message = "nothing is left of the content once its private parts are taken out"
        raise InvalidInput(message, (Issue("custom", ("content",), message),))
    return left, removed
