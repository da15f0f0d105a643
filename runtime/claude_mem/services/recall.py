"""Search and context: what is remembered, found again. Every look is in the audit log before its answer leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.model.times import now_us
from claude_mem.retrieval import query as syntax
from claude_mem.services.cleaning import clean_id, clean_text
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.scope import require_project
from claude_mem.storage import audit, observations, rows

if TYPE_CHECKING:
    from claude_mem.model.records import Observation
    from claude_mem.services.context import RequestContext
    from claude_mem.storage.database import Database


class RecallService:
    """Finds observations of a project."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def search(
        self,
        context: RequestContext,
        *,
        project_id: str,
        query: str,
        platform: str | None,
        limit: int,
        mode: str = "search",
        via: str | None = None,
    ) -> list[tuple[Observation, float]]:
        """The best matches with their scores, best first.

        Parameters:
            platform: normalised; only what came from that platform.
            mode: what the audit log calls the look: `search` or `context`.

        Raises: Forbidden, InvalidInput, Unavailable.
        """
        platform, _ = clean_id(platform)
        with refuse_storage_errors():
            await require_project(self._database, context, project_id=project_id)
            found = await self._matches(context, project_id, query=query, platform=platform, limit=limit)
        details: dict[str, object] = {"mode": mode, "query": clean_text(query)[0], "limit": limit}
        if via is not None:
            details["via"] = via
        await self._audit(
            context,
            project_id,
            found=[observation for observation, _ in found],
            platformSource=platform,
            **details,
        )
        return found

    async def _matches(
        self, context: RequestContext, project_id: str, *, query: str, platform: str | None, limit: int
    ) -> list[tuple[Observation, float]]:
        parsed = syntax.parse(query)
        if parsed.is_empty:
            return []
        render = syntax.for_postgres if self._database.name == "postgres" else syntax.for_sqlite
        return await observations.search(
            self._database,
            query=render(parsed),
            team_id=context.team_id,
            project_id=project_id,
            platform=platform,
            limit=limit,
        )

    async def recent(
        self, context: RequestContext, *, project_id: str, limit: int, via: str
    ) -> list[Observation]:
        """The newest observations of a project.

        Raises: Forbidden, Unavailable.
        """
        with refuse_storage_errors():
            await require_project(self._database, context, project_id=project_id)
            found = await observations.list_rows(
                self._database,
                team_id=context.team_id,
                project_id=project_id,
                kind=None,
                session_id=None,
                before=None,
                limit=limit,
            )
        recent = [rows.observation(row) for row in found]
        await self._audit(context, project_id, found=recent, mode="recent", via=via, limit=limit)
        return recent

    async def _audit(
        self, context: RequestContext, project_id: str, *, found: list[Observation], **details: object
    ) -> None:
        entry = context.audit(
            "observation.read",
            "observation",
            resource_id=None,
            project_id=project_id,
            **details,
            resultCount=len(found),
            observationIds=[observation.id for observation in found],
        )
        with refuse_storage_errors():
            await audit.append_alone(self._database, entry, now_us=now_us())
