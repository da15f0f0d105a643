"""Teams and projects: who owns what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.storage import rows
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from claude_mem.model.documents import Document
    from claude_mem.model.records import Project, Team
    from claude_mem.storage.cursors import Cursor
    from claude_mem.storage.database import Executor, Row


async def create_team(
    executor: Executor, *, team_id: str, name: str, metadata: Document, now_us: int
) -> Team:
    """Insert a team; one of the same id is left, and returned, as it is."""
    await add_team(executor, team_id=team_id, name=name, metadata=metadata, now_us=now_us)
    team = await find_team(executor, team_id)
    if team is None:
        raise AssertionError("a team that was just inserted is not there")
    return team


async def add_team(executor: Executor, *, team_id: str, name: str, metadata: Document, now_us: int) -> bool:
    """Insert a team; False where one of the same id is there, which is left as it is."""
    added = await executor.execute("teams.insert", id=team_id, name=name, metadata=metadata.text, now=now_us)
    return added > 0


async def find_team(executor: Executor, team_id: str) -> Team | None:
    row = await fetch_one(executor, "teams.find", id=team_id)
    return rows.team(row) if row else None


async def find_team_by_name(executor: Executor, name: str) -> Team | None:
    """The oldest team of that name; names are not unique."""
    row = await fetch_one(executor, "teams.by_name", name=name)
    return rows.team(row) if row else None


async def list_teams(executor: Executor, *, after: Cursor | None, limit: int) -> list[Row]:
    """Rows of teams, oldest first."""
    return await executor.fetch(
        "teams.list",
        after_at=after.at_us if after else None,
        after_id=after.id if after else None,
        limit=limit,
    )


async def rename_team(executor: Executor, *, team_id: str, name: str, now_us: int) -> Team | None:
    row = await fetch_one(executor, "teams.rename", id=team_id, name=name, now=now_us)
    return rows.team(row) if row else None


async def create_project(
    executor: Executor, *, project_id: str, team_id: str, name: str, metadata: Document, now_us: int
) -> Project:
    """Insert a project; one of the same id is left, and returned, as it is.

    Raises: ReferenceViolation when the team does not exist.
    """
    await add_project(
        executor, project_id=project_id, team_id=team_id, name=name, metadata=metadata, now_us=now_us
    )
    project = await find_project(executor, project_id=project_id, team_id=team_id)
    if project is None:
        raise AssertionError("a project that was just inserted is not there")
    return project


async def add_project(
    executor: Executor, *, project_id: str, team_id: str, name: str, metadata: Document, now_us: int
) -> bool:
    """Insert a project; False where one of the same id is there, which is left as it is.

    Raises: ReferenceViolation when the team does not exist.
    """
    added = await executor.execute(
        "projects.insert", id=project_id, team_id=team_id, name=name, metadata=metadata.text, now=now_us
    )
    return added > 0


async def find_project(executor: Executor, *, project_id: str, team_id: str) -> Project | None:
    row = await fetch_one(executor, "projects.find", id=project_id, team_id=team_id)
    return rows.project(row) if row else None


async def find_project_anywhere(executor: Executor, project_id: str) -> Project | None:
    """A project by its id alone: for operators, never for a key."""
    row = await fetch_one(executor, "projects.find_anywhere", id=project_id)
    return rows.project(row) if row else None


async def find_project_by_name(executor: Executor, *, team_id: str, name: str) -> Project | None:
    row = await fetch_one(executor, "projects.by_name", team_id=team_id, name=name)
    return rows.project(row) if row else None


async def list_projects(
    executor: Executor, *, team_id: str, project_id: str | None, after: Cursor | None, limit: int
) -> list[Row]:
    """Rows of a team's projects, oldest first; only the one named where `project_id` is given."""
    return await executor.fetch(
        "projects.list",
        team_id=team_id,
        project_id=project_id,
        after_at=after.at_us if after else None,
        after_id=after.id if after else None,
        limit=limit,
    )


async def update_project(
    executor: Executor, *, project_id: str, team_id: str, name: str, metadata: Document, now_us: int
) -> Project | None:
    row = await fetch_one(
        executor,
        "projects.update",
        id=project_id,
        team_id=team_id,
        name=name,
        metadata=metadata.text,
        now=now_us,
    )
    return rows.project(row) if row else None


async def lock_shared(executor: Executor, project_ids: set[str]) -> dict[str, str]:
    """Keep the projects from being purged until the transaction ends.

    Returns: the team of each project that exists.
    """
    found = await executor.fetch("projects.lock_shared", ids=sorted(project_ids))
    return {row["id"]: row["team_id"] for row in found}


async def lock_exclusive(executor: Executor, *, project_id: str, team_id: str) -> bool:
    """Keep writers of the project out until the transaction ends; False when there is no such project."""
    return bool(await executor.fetch("projects.lock_exclusive", id=project_id, team_id=team_id))
