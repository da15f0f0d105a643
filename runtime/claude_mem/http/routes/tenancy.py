"""The caller's team, its projects, and the audit log."""

from __future__ import annotations

from aiohttp import web

from claude_mem.http import etags, params, wire
from claude_mem.http.access import authorize
from claude_mem.http.answers import answer
from claude_mem.http.keys import SERVICES
from claude_mem.http.openapi.operation import CURSOR, LIMIT, Operation, Other, Parameter, describe
from claude_mem.http.openapi.operation import PROJECT as OF_PROJECT
from claude_mem.http.responses import answers
from claude_mem.http.schemas import NAME, PROJECT, PROJECT_CHANGE
from claude_mem.http.validation import read_json, validate
from claude_mem.model.scopes import READ, WRITE
from claude_mem.services.paging import page_of
from claude_mem.services.projects import LANGUAGE, MODE, ProjectChange
from claude_mem.services.scope import require_project
from claude_mem.storage import audit, rows
from claude_mem.storage.cursors import Cursor


@describe(
    Operation(
        "listTeams",
        "The caller's team",
        tag="Teams and projects",
        scope=READ,
        answers={200: answers.TeamList},
    )
)
async def list_teams(request: web.Request) -> web.Response:
    """GET /v1/teams: the caller's own, the only one that it can see."""
    context = await authorize(request, READ)
    team = await request.app[SERVICES].tenancy.team(context, context.team_id)
    return answer({"teams": [wire.team(team)]})


@describe(
    Operation(
        "getTeam", "Read a team", tag="Teams and projects", scope=READ, answers={200: answers.TeamFound}
    )
)
async def get_team(request: web.Request) -> web.Response:
    """GET /v1/teams/:teamId."""
    context = await authorize(request, READ)
    team_id = params.path_id(request, "teamId", what="Team")
    return answer({"team": wire.team(await request.app[SERVICES].tenancy.team(context, team_id))})


@describe(
    Operation(
        "renameTeam",
        "Rename a team",
        tag="Teams and projects",
        scope=WRITE,
        body=NAME,
        answers={200: answers.TeamFound},
    )
)
async def rename_team(request: web.Request) -> web.Response:
    """PATCH /v1/teams/:teamId."""
    context = await authorize(request, WRITE)
    team_id = params.path_id(request, "teamId", what="Team")
    body = validate(NAME, await read_json(request))
    return answer(
        {"team": wire.team(await request.app[SERVICES].tenancy.rename_team(context, team_id, name=body.name))}
    )


@describe(
    Operation(
        "listProjects",
        "Projects, oldest first",
        tag="Teams and projects",
        scope=READ,
        answers={200: answers.ProjectPage},
        refusals=frozenset({400}),
        parameters=(CURSOR, LIMIT),
    )
)
async def list_projects(request: web.Request) -> web.Response:
    """GET /v1/projects."""
    context = await authorize(request, READ)
    page = await request.app[SERVICES].tenancy.projects(
        context,
        cursor=params.text(request, "cursor"),
        limit=params.integer(request, "limit", default=50, least=1, most=200),
    )
    return answer({"projects": [wire.project(found) for found in page.items], "nextCursor": page.next_cursor})


@describe(
    Operation(
        "createProject",
        "Make a project, or find the one of that name",
        tag="Teams and projects",
        scope=WRITE,
        body=PROJECT,
        answers={201: answers.ProjectFound},
        replayable=True,
    )
)
async def create_project(request: web.Request) -> web.Response:
    """POST /v1/projects; a name that the team has already gives the project of that name."""
    context = await authorize(request, WRITE)
    body = validate(PROJECT, await read_json(request))
    project = await request.app[SERVICES].tenancy.create_project(
        context, name=body.name, metadata=body.metadata
    )
    return answer({"project": wire.project(project)}, status=201)


@describe(
    Operation(
        "getProject",
        "Read a project",
        tag="Teams and projects",
        scope=READ,
        answers={200: answers.ProjectFound, 304: Other(None, "The client has this version already.")},
        parameters=(etags.IF_NONE_MATCH,),
        versioned=True,
    )
)
async def get_project(request: web.Request) -> web.Response:
    """GET /v1/projects/:projectId."""
    context = await authorize(request, READ)
    project_id = params.path_id(request, "projectId", what="Project")
    shown = wire.project(await request.app[SERVICES].tenancy.project(context, project_id))
    if etags.known(request, shown):
        return web.Response(status=304, headers=etags.etag(shown))
    return answer({"project": shown}, headers=etags.etag(shown))


@describe(
    Operation(
        "changeProject",
        "Name a project, or choose its mode and its language",
        tag="Teams and projects",
        scope=WRITE,
        body=PROJECT_CHANGE,
        answers={200: answers.ProjectFound},
        refusals=frozenset({412}),
        parameters=(etags.IF_MATCH,),
        versioned=True,
    )
)
async def change_project(request: web.Request) -> web.Response:
    """PATCH /v1/projects/:projectId."""
    context = await authorize(request, WRITE)
    project_id = params.path_id(request, "projectId", what="Project")
    body = validate(PROJECT_CHANGE, await read_json(request))
    observing: dict[str, str | None] = {
        member: getattr(body, member) for member in (MODE, LANGUAGE) if member in body.model_fields_set
    }
    project = await request.app[SERVICES].tenancy.change_project(
        context,
        project_id,
        ProjectChange(name=body.name, observing=observing),
        check=etags.check(request, wire.project, what="project"),
    )
    shown = wire.project(project)
    return answer({"project": shown}, headers=etags.etag(shown))


@describe(
    Operation(
        "listAudit",
        "Who did what, newest first",
        tag="Teams and projects",
        scope=READ,
        answers={200: answers.AuditPage},
        refusals=frozenset({400}),
        parameters=(
            Parameter("action", "Only of this action."),
            Parameter("resourceId", "Only of this thing."),
            OF_PROJECT,
            CURSOR,
            LIMIT,
        ),
    )
)
async def list_audit(request: web.Request) -> web.Response:
    """GET /v1/audit: who did what within the caller's scope, newest first."""
    context = await authorize(request, READ)
    database = request.app[SERVICES].database
    project_id = params.text(request, "projectId")
    if project_id is not None:
        await require_project(database, context, project_id=project_id)
    limit = params.integer(request, "limit", default=50, least=1, most=200)
    found = await audit.list_rows(
        database,
        team_id=context.team_id,
        project_id=project_id or context.principal.project_id,
        action=params.text(request, "action"),
        resource_id=params.text(request, "resourceId"),
        before=Cursor.decode(params.text(request, "cursor")),
        limit=limit + 1,
    )
    page = page_of(found, limit, convert=rows.audit_entry)
    return answer(
        {"audit": [wire.audit_entry(entry) for entry in page.items], "nextCursor": page.next_cursor}
    )


ROUTES = [
    web.get("/v1/teams", list_teams),
    web.get("/v1/teams/{teamId}", get_team),
    web.patch("/v1/teams/{teamId}", rename_team),
    web.get("/v1/projects", list_projects),
    web.post("/v1/projects", create_project),
    web.get("/v1/projects/{projectId}", get_project),
    web.patch("/v1/projects/{projectId}", change_project),
    web.get("/v1/audit", list_audit),
]
