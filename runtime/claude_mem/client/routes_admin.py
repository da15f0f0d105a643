"""The calls about generation jobs, and about the team: its keys, projects, usage and audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_mem.client import models
from claude_mem.client.call import Call, present, segment

if TYPE_CHECKING:
    from collections.abc import Mapping


def list_jobs(
    *,
    status: str | None = None,
    source_type: str | None = None,
    since: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> Call[models.JobPage]:
    """Generation jobs, newest first. ``since`` is an ISO 8601 time; ``limit`` is 1 to 200."""
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


def usage() -> Call[models.Usage]:
    """The team's metered use of this month."""
    return Call(method="GET", path="/v1/usage", reply=models.Usage, repeatable=True)


def connect() -> Call[models.Connection]:
    """How to connect an agent by MCP."""
    return Call(method="GET", path="/v1/connect", reply=models.Connection, repeatable=True)


def list_keys() -> Call[list[models.ApiKey]]:
    """The team's keys, without the keys themselves."""
    return Call(method="GET", path="/v1/keys", reply=list[models.ApiKey], unwrap="keys", repeatable=True)


def create_key(*, label: str | None = None, expires_in_days: int | None = None) -> Call[models.CreatedKey]:
    """Make a read-only key for 1 to 365 days, or for ever. The raw key is in this answer and nowhere else."""
    body = present(label=label, expiresInDays=expires_in_days)
    return Call(method="POST", path="/v1/keys", body=body, reply=models.CreatedKey)


def rotate_key(key_id: str) -> Call[models.CreatedKey]:
    """Replace a key by a new one with the same rights."""
    return Call(method="POST", path=f"/v1/keys/{segment(key_id)}/rotate", body={}, reply=models.CreatedKey)


def revoke_key(key_id: str) -> Call[dict[str, Any]]:
    """Make a key useless from the next request on."""
    return Call(method="DELETE", path=f"/v1/keys/{segment(key_id)}", reply=dict[str, Any], repeatable=True)


def list_projects() -> Call[list[models.Project]]:
    """The projects that this key can see."""
    return Call(
        method="GET", path="/v1/projects", reply=list[models.Project], unwrap="projects", repeatable=True
    )


def create_project(name: str, *, metadata: Mapping[str, Any] | None = None) -> Call[models.Project]:
    """Make a project in the key's team."""
    body = {"name": name, **present(metadata=None if metadata is None else dict(metadata))}
    return Call(method="POST", path="/v1/projects", body=body, reply=models.Project, unwrap="project")


def get_team(team_id: str) -> Call[models.Team]:
    """The team, by id."""
    path = f"/v1/teams/{segment(team_id)}"
    return Call(method="GET", path=path, reply=models.Team, unwrap="team", repeatable=True)


def audit(
    *,
    limit: int = 50,
    cursor: str | None = None,
    action: str | None = None,
    project_id: str | None = None,
) -> Call[models.AuditPage]:
    """Who did what, newest first; of every project the key can see, unless one is named."""
    params = {"limit": limit, **present(cursor=cursor, action=action, projectId=project_id)}
    return Call(method="GET", path="/v1/audit", params=params, reply=models.AuditPage, repeatable=True)
