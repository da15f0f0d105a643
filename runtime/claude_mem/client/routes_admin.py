"""The calls about generation jobs, and about the team: its keys, projects, usage and audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_mem.client import models, models_admin
from claude_mem.client.call import UNSET, Call, Unset, flags, present, segment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: A request's lines are stored before it is answered.
IMPORT_TIMEOUT_SECONDS = 120.0


def list_jobs(
    *,
    status: str | None = None,
    source_type: str | None = None,
    since: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> Call[models.JobPage]:
    """Generation jobs, newest first. `since` is an ISO 8601 time; `limit` is 1 to 200."""
    params = {
        "limit": limit,
        "offset": offset,
        **present(status=status, source_type=source_type, since=since),
    }
    return Call(method="GET", path="/v1/jobs", params=params, reply=models.JobPage, repeatable=True)


def get_job(job_id: str) -> Call[models.Job]:
    """One job."""
    path = f"/v1/jobs/{segment(job_id)}"
    return Call(method="GET", path=path, reply=models.Job, unwrap="generationJob", repeatable=True)


def retry_job(job_id: str) -> Call[models.JobRetry]:
    """Put a failed or cancelled job back into the queue."""
    return Call(method="POST", path=f"/v1/jobs/{segment(job_id)}/retry", body={}, reply=models.JobRetry)


def cancel_job(job_id: str) -> Call[models.JobCancel]:
    """Cancel a job that is not completed."""
    path = f"/v1/jobs/{segment(job_id)}/cancel"
    return Call(method="POST", path=path, body={}, reply=models.JobCancel, repeatable=True)


def usage() -> Call[models_admin.Usage]:
    """The team's metered use of this month."""
    return Call(method="GET", path="/v1/usage", reply=models_admin.Usage, repeatable=True)


def connect() -> Call[models_admin.Connection]:
    """How to connect an agent by MCP."""
    return Call(method="GET", path="/v1/connect", reply=models_admin.Connection, repeatable=True)


def list_keys(
    *, active: bool = False, limit: int = 50, cursor: str | None = None
) -> Call[models_admin.KeyPage]:
    """The team's keys, without the keys themselves; with `active`, those that still work."""
    params = {**flags(active=active), "limit": limit, **present(cursor=cursor)}
    return Call(method="GET", path="/v1/keys", params=params, reply=models_admin.KeyPage, repeatable=True)


def create_key(
    *,
    name: str | None = None,
    scopes: Sequence[str] | None = None,
    expires_in_days: int | None = None,
    project_id: str | None = None,
) -> Call[models_admin.CreatedKey]:
    """Make a key, read-only unless `scopes` are named, for 1 to 365 days or for ever.

    The raw key is in this answer and nowhere else.
    """
    body = present(
        label=name,
        scopes=None if scopes is None else list(scopes),
        expiresInDays=expires_in_days,
        projectId=project_id,
    )
    return Call(method="POST", path="/v1/keys", body=body, reply=models_admin.CreatedKey)


def rotate_key(key_id: str, *, overlap_seconds: int = 0) -> Call[models_admin.CreatedKey]:
    """Replace a key by a new one with the same rights; the old one works `overlap_seconds` longer."""
    path = f"/v1/keys/{segment(key_id)}/rotate"
    body = {"overlapSeconds": overlap_seconds}
    return Call(method="POST", path=path, body=body, reply=models_admin.CreatedKey)


def revoke_key(key_id: str) -> Call[models_admin.RevokedKey]:
    """Make a key useless from the next request on."""
    return Call(method="DELETE", path=f"/v1/keys/{segment(key_id)}", reply=models_admin.RevokedKey)


def list_projects(*, limit: int = 50, cursor: str | None = None) -> Call[models_admin.ProjectPage]:
    """The projects that this key can see."""
    params = {"limit": limit, **present(cursor=cursor)}
    return Call(
        method="GET", path="/v1/projects", params=params, reply=models_admin.ProjectPage, repeatable=True
    )


def create_project(name: str, *, metadata: Mapping[str, Any] | None = None) -> Call[models_admin.Project]:
    """Make a project in the key's team."""
    body = {"name": name, **present(metadata=None if metadata is None else dict(metadata))}
    return Call(method="POST", path="/v1/projects", body=body, reply=models_admin.Project, unwrap="project")


def update_project(
    project_id: str,
    *,
    name: str | None = None,
    mode: str | Unset | None = UNSET,
    language: str | Unset | None = UNSET,
) -> Call[models_admin.Project]:
    """Change the given parts of a project; a mode or language of None is that of all projects again."""
    chosen = {key: value for key, value in (("mode", mode), ("language", language)) if value is not UNSET}
    return Call(
        method="PATCH",
        path=f"/v1/projects/{segment(project_id)}",
        body=present(name=name) | chosen,
        reply=models_admin.Project,
        unwrap="project",
        repeatable=True,
    )


def get_team(team_id: str) -> Call[models_admin.Team]:
    """The team, by id."""
    path = f"/v1/teams/{segment(team_id)}"
    return Call(method="GET", path=path, reply=models_admin.Team, unwrap="team", repeatable=True)


def audit(
    *,
    limit: int = 50,
    cursor: str | None = None,
    action: str | None = None,
    resource_id: str | None = None,
    project_id: str | None = None,
) -> Call[models_admin.AuditPage]:
    """Who did what, newest first; of every project the key can see, unless one is named."""
    wanted = present(cursor=cursor, action=action, resourceId=resource_id, projectId=project_id)
    params = {"limit": limit, **wanted}
    return Call(method="GET", path="/v1/audit", params=params, reply=models_admin.AuditPage, repeatable=True)


def import_lines(
    lines: bytes, *, project_id: str | None = None, dry_run: bool = False
) -> Call[models_admin.ImportReport]:
    """Take in an export, or a part of one with its header; sending it again adds nothing.

    `project_id` takes in everything; without it each project of the export finds its own by id or name.
    """
    params = {**flags(dryRun=dry_run), **present(projectId=project_id)}
    return Call(
        method="POST",
        path="/v1/import",
        params=params,
        lines=lines,
        reply=models_admin.ImportReport,
        repeatable=True,
        timeout=IMPORT_TIMEOUT_SECONDS,
    )
