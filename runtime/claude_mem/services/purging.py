"""The end of everything that is remembered of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.model.errors import NotFound
from claude_mem.model.times import now_us
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.storage import audit, events, idempotency, jobs, observations, sessions, tenancy
from claude_mem.storage.database import Database, Executor, run_transaction

if TYPE_CHECKING:
    from claude_mem.services.context import RequestContext


async def purge_project(database: Database, context: RequestContext, project_id: str) -> dict[str, int]:
    """Remove all that is remembered of a project; the project, its keys and the audit log stay.

    The words of searches leave the audit log: they quote what was remembered. Answers that are kept for requests sent again
    go for the whole team, since they may hold it too, and nobody here can read them.

    Returns: how many observations, agentEvents, sessions and jobs were removed.

    Raises: Forbidden for a key of another project, NotFound for a project outside the team.
    """
    team_id = context.team_id
    context.check_project(project_id)

    async def store(transaction: Executor) -> dict[str, int]:
        if not await tenancy.lock_exclusive(transaction, project_id=project_id, team_id=team_id):
            raise NotFound("Project not found")
        scope = {"team_id": team_id, "project_id": project_id}
        # Jobs go before sessions: a summary's job must not outlive what it refers to.
        removed = await observations.purge(transaction, **scope)
        removed_jobs = await jobs.purge(transaction, **scope)
        removed_events = await events.purge(transaction, **scope)
        counts = {
            "observations": removed,
            "agentEvents": removed_events,
            "sessions": await sessions.purge(transaction, **scope),
            "jobs": removed_jobs,
        }
        entry = context.audit(
            "project.memory_purged",
            "project",
            resource_id=project_id,
            project_id=project_id,
            counts=counts,
            clearedQueries=await audit.clear_queries(transaction, **scope),
            via="api",
        )
        await audit.append(transaction, [entry], now_us=now_us())
        await idempotency.clear(transaction, team_id=team_id)
        return counts

    with refuse_storage_errors():
        return await run_transaction(database, store)
