"""The first team, project and key, made by whoever runs the server rather than by a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.model.documents import EMPTY, Document
from claude_mem.model.errors import NotFound
from claude_mem.model.identity import new_id
from claude_mem.model.records import AuditEntry, Principal, Project, Team
from claude_mem.model.scopes import READ, WRITE
from claude_mem.model.times import now_us
from claude_mem.services.keys import NewKey, check_scopes, make_key, store_key
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.storage import tenancy
from claude_mem.storage.database import Database, Executor, run_transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Names that claude-mem 13 gives its first team and project; where it made none they are the ids as well.
LOCAL_TEAM = "local-hook-team"
LOCAL_PROJECT = "local-hook-project"
CLI_ACTOR = "system:server-cli"
LOCAL_ACTOR = "system:local-dev"

_ORIGIN = Document('{"source":"local-hook-bootstrap"}')


@dataclass(frozen=True, slots=True)
class LocalScope:
    """The team and project of who runs a server for themselves."""

    team: Team
    project: Project


async def ensure_local_scope(database: Database) -> LocalScope:
    """The local team and project, made where they are missing; safe when several processes ask at once."""

    async def ensure(executor: Executor) -> LocalScope:
        now = now_us()
        team = await tenancy.find_team_by_name(executor, LOCAL_TEAM)
        if team is None:
            team = await tenancy.create_team(
                executor, team_id=LOCAL_TEAM, name=LOCAL_TEAM, metadata=_ORIGIN, now_us=now
            )
        project = await tenancy.find_project_by_name(executor, team_id=team.id, name=LOCAL_PROJECT)
        if project is None:
            project = await tenancy.create_project(
                executor,
                project_id=LOCAL_PROJECT,
                team_id=team.id,
                name=LOCAL_PROJECT,
                metadata=_ORIGIN,
                now_us=now,
            )
        return LocalScope(team, project)

    with refuse_storage_errors():
        return await run_transaction(database, ensure)


def local_principal(scope: LocalScope) -> Principal:
    """Who asks in local development without a key: anybody on this machine, for the local team."""
    return Principal(
        key_id=None,
        actor_id=LOCAL_ACTOR,
        team_id=scope.team.id,
        project_id=None,
        scopes=frozenset({"local-dev", READ, WRITE}),
    )


async def create_first_key(
    database: Database,
    *,
    name: str,
    scopes: Sequence[str],
    team_id: str | None,
    project_id: str | None,
    expires_us: int | None = None,
) -> NewKey:
    """Make a key at the command line.

    Parameters:
        team_id: a team that exists; without team and project the local ones are made and taken.
        project_id: a project that exists; alone it brings its team, without one the key is for the whole team.

    Raises: NotFound for a team or project that does not exist, InvalidInput for unknown scopes.
    """
    chosen = check_scopes(scopes)
    team, project = await _named_scope(database, team_id=team_id, project_id=project_id)
    made = make_key(
        team_id=team,
        project_id=project,
        actor_id=CLI_ACTOR,
        name=name,
        scopes=chosen,
        expires_us=expires_us,
        origin="cli",
    )
    entry = cli_entry(
        "api_key.create",
        made.key.id,
        team_id=team,
        project_id=project,
        name=made.key.name,
        scopes=list(chosen),
    )
    await store_key(database, made, entry=entry)
    return made


def cli_entry(
    action: str, resource_id: str | None, *, team_id: str | None, project_id: str | None, **details: object
) -> AuditEntry:
    """An entry of the audit log for what is done at the command line, which is nobody's key.

    Parameters:
        action: the kind of thing, a dot, and what was done to it, such as `api_key.revoke`.
    """
    return AuditEntry(
        action=action,
        resource_type=action.partition(".")[0],
        resource_id=resource_id,
        team_id=team_id,
        project_id=project_id,
        actor_id=CLI_ACTOR,
        api_key_id=None,
        details=details | {"source": "server-cli"},
    )


async def _named_scope(
    database: Database, *, team_id: str | None, project_id: str | None
) -> tuple[str, str | None]:
    if project_id is not None:
        project = await require_project(database, project_id, team_id=team_id)
        return project.team_id, project.id
    if team_id is not None:
        return (await require_team(database, team_id)).id, None
    scope = await ensure_local_scope(database)
    return scope.team.id, scope.project.id


async def create_team(executor: Executor, name: str) -> Team:
    """Add a team; names need not be unique."""
    return await tenancy.create_team(executor, team_id=new_id(), name=name, metadata=EMPTY, now_us=now_us())


async def create_project(executor: Executor, *, team_id: str, name: str) -> Project:
    """Add a project to a team that exists.

    Raises: NotFound.
    """
    team = await require_team(executor, team_id)
    return await tenancy.create_project(
        executor, project_id=new_id(), team_id=team.id, name=name, metadata=EMPTY, now_us=now_us()
    )


async def require_team(executor: Executor, team_id: str) -> Team:
    """A team that is named at the command line.

    Raises: NotFound.
    """
    team = await tenancy.find_team(executor, team_id)
    if team is None:
        raise NotFound(f"there is no team {team_id!r}")
    return team


async def require_project(executor: Executor, project_id: str, *, team_id: str | None = None) -> Project:
    """A project that is named at the command line; where a team is named too, one of that team.

    Raises: NotFound.
    """
    project = await tenancy.find_project_anywhere(executor, project_id)
    if project is None or team_id not in {None, project.team_id}:
        raise NotFound(f"there is no project {project_id!r}" + (f" in team {team_id!r}" if team_id else ""))
    return project
