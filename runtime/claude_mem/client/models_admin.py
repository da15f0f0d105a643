"""What the server's replies about itself, a team, its keys and its projects look like to a program.

The conventions are those of `models`.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from claude_mem.client.models import WireModel


class Usage(WireModel):
    """The team's metered use since `since` (ISO 8601, first of the month in UTC), by kind."""

    since: str
    usage: dict[str, int]


class Connection(WireModel):
    """How to connect an agent by MCP."""

    mcp_url: str
    connect_command: str
    hint: str | None = None


class ApiKey(WireModel):
    """A key's description. The key itself is shown once, in `CreatedKey`."""

    id: str
    name: str | None = None
    prefix: str | None = None
    team_id: str | None = None
    project_id: str | None = None
    actor_id: str | None = None
    scopes: list[str] = Field(default_factory=list)
    status: str | None = None
    created_at_epoch: int | None = None
    expires_at_epoch: int | None = None
    revoked_at_epoch: int | None = None
    last_used_at_epoch: int | None = None
    replaced_by: str | None = None


class KeyPage(WireModel):
    """One page of keys, newest first."""

    keys: list[ApiKey]
    next_cursor: str | None = None


class CreatedKey(WireModel):
    """A new key. `api_key` is the only copy of the raw key, and is left out of the model's repr."""

    id: str
    api_key: str = Field(repr=False)
    scopes: list[str] = Field(default_factory=list)
    expires_at: str | None = None
    mcp_url: str | None = None
    connect_command: str | None = Field(default=None, repr=False)
    replaces: str | None = None


class RevokedKey(WireModel):
    """Confirmation that a key is useless now."""

    id: str
    status: str


class Project(WireModel):
    """One project of the team."""

    id: str
    name: str = ""
    team_id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at_epoch: int | None = None
    updated_at_epoch: int | None = None


class ProjectPage(WireModel):
    """One page of projects, newest first."""

    projects: list[Project]
    next_cursor: str | None = None


class Team(WireModel):
    """The team that a key belongs to."""

    id: str
    name: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at_epoch: int | None = None
    updated_at_epoch: int | None = None


class AuditEntry(WireModel):
    """One line of the audit log."""

    id: str
    action: str
    resource_type: str | None = None
    resource_id: str | None = None
    team_id: str | None = None
    project_id: str | None = None
    actor_id: str | None = None
    api_key_id: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)
    created_at_epoch: int | None = None


class AuditPage(WireModel):
    """One page of the audit log, newest first."""

    entries: list[AuditEntry] = Field(alias="audit")
    next_cursor: str | None = None


class ServerInfo(WireModel):
    """What the server says about itself, without a key."""

    name: str
    runtime: str
    auth_mode: str | None = None
    postgres: dict[str, Any] = Field(default_factory=dict)
    boundaries: dict[str, Any] = Field(default_factory=dict)
    queue_lanes: list[dict[str, Any]] = Field(default_factory=list)


class Health(WireModel):
    """The server's health report."""

    status: str
    runtime: str | None = None
    version: str | None = None
    uptime: float | None = None
    initialized: bool | None = None
    queue: dict[str, Any] | None = None


class Readiness(WireModel):
    """Whether the server takes work; `message` says why when it does not."""

    status: str
    message: str | None = None

    @property
    def ready(self) -> bool:
        """True when the server takes work."""
        return self.status == "ready"


class RefusedLine(WireModel):
    """A line of an import that was not taken in."""

    line: int
    message: str


class ImportReport(WireModel):
    """What became of an import: new rows and those that were there already, by kind."""

    dry_run: bool
    complete: bool
    imported: dict[str, int]
    duplicates: dict[str, int]
    refused_lines: int
    refused: list[RefusedLine] = Field(default_factory=list)
