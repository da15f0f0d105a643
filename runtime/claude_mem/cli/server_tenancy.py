"""`claude-mem server team …` and `project …`: teams and their projects, made and named by whoever runs the server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from claude_mem.cli.server_context import AsJson, Limit, Team, run, show_lines, show_rows, time_or_none
from claude_mem.generation.mode import ModeLibrary
from claude_mem.model.times import now_us
from claude_mem.services import bootstrap
from claude_mem.services.projects import LANGUAGE, MODE, ProjectChange, change_project, checked
from claude_mem.settings.fields import fill
from claude_mem.settings.groups import PathSettings
from claude_mem.storage import audit, rows, tenancy
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database, Executor, Retryable, run_transaction

if TYPE_CHECKING:
    from claude_mem.model.records import Project
    from claude_mem.model.records import Team as TeamRecord
    from claude_mem.storage.database import Row

LONGEST_NAME = 200

ProjectId = Annotated[str, typer.Argument(metavar="ID", help="Id of the project.")]
Name = Annotated[str, typer.Argument(help="What it is to be called.")]


def team_create(*, name: Name, as_json: AsJson = False) -> None:
    """Add a team; names need not be unique."""
    chosen = checked_name(name)

    async def change(transaction: Executor) -> TeamRecord:
        made = await bootstrap.create_team(transaction, chosen)
        await _audit(transaction, "team.create", resource_id=made.id, team_id=made.id, name=chosen)
        return made

    show_lines(_team(run(lambda database: run_transaction(database, change))), as_json=as_json)


def team_list(*, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List teams, oldest first."""

    async def work(database: Database) -> list[TeamRecord]:
        return [rows.team(row) for row in await tenancy.list_teams(database, after=None, limit=limit)]

    listed = [_team(team) for team in run(work)]
    show_rows(
        {"count": len(listed), "teams": listed},
        [entry.values() for entry in listed],
        columns=("id", "name", "createdAt"),
        as_json=as_json,
        nothing="no teams; make one with: claude-mem server team create NAME",
    )


def project_create(
    *,
    name: Name,
    team: Annotated[str, typer.Option("--team", help="Id of its team.")],
    as_json: AsJson = False,
) -> None:
    """Add a project to a team."""
    chosen = checked_name(name)

    async def change(transaction: Executor) -> Project:
        made = await bootstrap.create_project(transaction, team_id=team, name=chosen)
        await _audit(
            transaction, "project.create", resource_id=made.id, team_id=team, project_id=made.id, name=chosen
        )
        return made

    show_lines(_project(run(lambda database: run_transaction(database, change))), as_json=as_json)


def project_list(*, team: Team = None, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List a team's projects, or everybody's, oldest first."""

    async def work(database: Database) -> list[Project]:
        found: list[Project] = []
        for team_id in [team] if team is not None else await _team_ids(database):
            if len(found) < limit:
                listed = await tenancy.list_projects(
                    database, team_id=team_id, project_id=None, after=None, limit=limit - len(found)
                )
                found += [rows.project(row) for row in listed]
        return found

    listed = [_project(project) for project in run(work)]
    show_rows(
        {"teamId": team, "count": len(listed), "projects": listed},
        [entry.values() for entry in listed],
        columns=("id", "teamId", "name", "createdAt", "mode", "language"),
        as_json=as_json,
        nothing="no projects; make one with: claude-mem server project create NAME --team ID",
    )


def project_rename(
    *,
    project_id: ProjectId,
    name: Name,
    as_json: AsJson = False,
) -> None:
    """Give a project another name; its id and its memories stay."""
    _change(project_id, ProjectChange(name=checked_name(name)), as_json=as_json)


def project_set(
    *,
    project_id: ProjectId,
    mode: Annotated[
        str | None,
        typer.Option("--mode", help="Mode in which its events are observed; '' for that of all projects."),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option("--language", help="Language to write its memories in; '' for that of all projects."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Choose the mode and the language in which a project is observed from now on."""
    given = {MODE: mode, LANGUAGE: language}
    observing = {member: value or None for member, value in given.items() if value is not None}
    if not observing:
        raise typer.BadParameter("give --mode, --language or both")
    _change(project_id, ProjectChange(observing=observing), as_json=as_json)


def _change(project_id: str, wanted: ProjectChange, *, as_json: bool) -> None:
    paths = fill(PathSettings, os.environ)
    modes = ModeLibrary.of(data_dir=paths.data_dir, modes_dir=paths.modes_dir)

    async def change(transaction: Executor) -> Project:
        known = checked(wanted, modes)
        project = await bootstrap.require_project(transaction, project_id)
        changed = await change_project(
            transaction, known, project_id=project_id, team_id=project.team_id, now_us=now_us()
        )
        if changed is None:
            raise Retryable("the project was deleted meanwhile")
        await _audit(
            transaction,
            "project.update",
            resource_id=project_id,
            team_id=changed.team_id,
            project_id=project_id,
            **known.details,
        )
        return changed

    show_lines(_project(run(lambda database: run_transaction(database, change))), as_json=as_json)


async def _audit(
    executor: Executor,
    action: str,
    *,
    resource_id: str,
    team_id: str,
    project_id: str | None = None,
    **details: object,
) -> None:
    entry = bootstrap.cli_entry(action, resource_id, team_id=team_id, project_id=project_id, **details)
    await audit.append(executor, [entry], now_us=now_us())


async def _team_ids(database: Database) -> list[str]:
    """Every team, read a page at a time."""
    found: list[Row] = []
    after: Cursor | None = None
    while page := await tenancy.list_teams(database, after=after, limit=500):
        found += page
        after = Cursor(page[-1]["created_at"], page[-1]["id"])
    return [row["id"] for row in found]


def checked_name(given: str) -> str:
    """A name as it is stored; ends the command where it could not be shown."""
    name = given.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise typer.BadParameter(f"a name has 1 to {LONGEST_NAME} printable characters")
    return name


def _team(team: TeamRecord) -> dict[str, str | None]:
    return {"id": team.id, "name": team.name, "createdAt": time_or_none(team.created_ms)}


def _project(project: Project) -> dict[str, str | None]:
    return {
        "id": project.id,
        "teamId": project.team_id,
        "name": project.name,
        "createdAt": time_or_none(project.created_ms),
        "mode": project.metadata.members.get(MODE),
        "language": project.metadata.members.get(LANGUAGE),
    }
