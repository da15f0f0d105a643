"""Teams and projects as callers see and manage them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.model.errors import Forbidden, NotFound
from claude_mem.model.identity import new_id
from claude_mem.model.times import now_us
from claude_mem.services.cleaning import clean, clean_text
from claude_mem.services.paging import Page, page_of
from claude_mem.services.projects import change_project, checked
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.storage import audit, rows, tenancy
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database, Executor, run_transaction

if TYPE_CHECKING:
    from typing import Any

    from claude_mem.generation.mode import ModeLibrary
    from claude_mem.model.documents import Document
    from claude_mem.model.records import Project, Team
    from claude_mem.services.context import RequestContext
    from claude_mem.services.projects import Check, ProjectChange


class TenancyService:
    """Shows and changes the caller's team and its projects."""

    def __init__(self, database: Database, modes: ModeLibrary) -> None:
        """Manage the tenants of `database`; a project may have any of the `modes`."""
        self._database = database
        self._modes = modes

    async def team(self, context: RequestContext, team_id: str) -> Team:
        """The caller's own team; any other is not there for it.

        Raises: NotFound.
        """
        if team_id != context.team_id:
            raise NotFound("Team not found")
        team = await tenancy.find_team(self._database, team_id)
        if team is None:
            raise NotFound("Team not found")
        return team

    async def rename_team(self, context: RequestContext, team_id: str, *, name: str) -> Team:
        """Raises: NotFound, Forbidden without an administrator's scope or with a project's key."""
        await self.team(context, team_id)
        context.require_administrator("rename a team")
        name, _ = clean_text(name)

        async def change(transaction: Executor) -> Team:
            now = now_us()
            team = await tenancy.rename_team(transaction, team_id=team_id, name=name, now_us=now)
            if team is None:
                raise NotFound("Team not found")
            entry = context.audit("team.update", "team", resource_id=team_id, project_id=None, name=name)
            await audit.append(transaction, [entry], now_us=now)
            return team

        with refuse_storage_errors():
            return await run_transaction(self._database, change)

    async def projects(self, context: RequestContext, *, cursor: str | None, limit: int) -> Page[Project]:
        """Projects of the caller's scope, oldest first."""
        found = await tenancy.list_projects(
            self._database,
            team_id=context.team_id,
            project_id=context.principal.project_id,
            after=Cursor.decode(cursor),
            limit=limit + 1,
        )
        return page_of(found, limit, convert=rows.project)

    async def project(self, context: RequestContext, project_id: str) -> Project:
        """Raises: NotFound outside the caller's team or project."""
        project = await tenancy.find_project(self._database, project_id=project_id, team_id=context.team_id)
        if project is None or not context.sees_project(project.id):
            raise NotFound("Project not found")
        return project

    async def create_project(
        self, context: RequestContext, *, name: str, metadata: dict[str, Any]
    ) -> Project:
        """Add a project to the caller's team; one that has the name already is returned as it is.

        Raises: Forbidden for a key that is bound to one project.
        """
        team_id = context.team_id
        if context.principal.project_id is not None:
            raise Forbidden("API key is scoped to a different project")
        document = clean(metadata).document
        name, _ = clean_text(name)

        async def store(transaction: Executor) -> Project:
            existing = await tenancy.find_project_by_name(transaction, team_id=team_id, name=name)
            if existing is not None:
                return existing
            return await _insert_project(transaction, context, team_id=team_id, name=name, metadata=document)

        with refuse_storage_errors():
            return await run_transaction(self._database, store)

    async def change_project(
        self, context: RequestContext, project_id: str, wanted: ProjectChange, *, check: Check | None = None
    ) -> Project:
        """Give a project another name, mode or language.

        Parameters:
            check: is shown the project before anything is changed, while nobody else can change it, and may raise.

        Raises: NotFound outside the caller's team or project, InvalidInput, and what `check` does.
        """
        await self.project(context, project_id)
        known = checked(wanted, self._modes)

        async def change(transaction: Executor) -> Project:
            now = now_us()
            project = await change_project(
                transaction,
                known,
                project_id=project_id,
                team_id=context.team_id,
                now_us=now,
                check=check,
            )
            if project is None:
                raise NotFound("Project not found")
            entry = context.audit(
                "project.update",
                "project",
                resource_id=project_id,
                project_id=project_id,
                **known.details,
            )
            await audit.append(transaction, [entry], now_us=now)
            return project

        with refuse_storage_errors():
            return await run_transaction(self._database, change)


async def _insert_project(
    executor: Executor, context: RequestContext, *, team_id: str, name: str, metadata: Document
) -> Project:
    now = now_us()
    project_id = new_id()
    project = await tenancy.create_project(
        executor, project_id=project_id, team_id=team_id, name=name, metadata=metadata, now_us=now
    )
    entry = context.audit(
        "project.create", "project", resource_id=project_id, project_id=project_id, name=name
    )
    await audit.append(executor, [entry], now_us=now)
    return project
