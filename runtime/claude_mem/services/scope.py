"""Whether what a request names is the caller's to name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.model.errors import Forbidden
from claude_mem.storage import sessions, tenancy

if TYPE_CHECKING:
    from claude_mem.services.context import RequestContext
    from claude_mem.storage.database import Executor


async def require_project(executor: Executor, context: RequestContext, *, project_id: str) -> None:
    """Refuse a project that is not the key's or not the team's.

    Raises: Forbidden.
    """
    team_id = context.team_id
    context.check_project(project_id)
    project = await tenancy.find_project(executor, project_id=project_id, team_id=team_id)
    require_team(project.team_id if project else None, team_id)


def require_team(owner: str | None, team_id: str) -> None:
    """Refuse a project of another team, or one that is not there.

    Raises: Forbidden.
    """
    if owner != team_id:
        raise Forbidden("project_id must belong to team_id")


async def require_session(executor: Executor, *, session_id: str, team_id: str, project_id: str) -> None:
    """Refuse a session of another project or team.

    Raises: Forbidden.
    """
    scopes = await sessions.find_scopes(executor, [session_id])
    if scopes.get(session_id) != (team_id, project_id):
        raise Forbidden("server_session_id must belong to project_id and team_id")
