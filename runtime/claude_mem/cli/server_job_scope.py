"""Whose jobs a `jobs` command touches.

In a deployment, counting, listing failures and steering ask for a team or a project, or for
CLAUDE_MEM_SERVER_ADMIN=1, so that nobody touches another team's work by mistake.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.cli.output import fail
from claude_mem.environment.catalogue.client import SERVER_ADMIN

if TYPE_CHECKING:
    from claude_mem.cli.server_context import Target
    from claude_mem.model.records import Job


@dataclass(frozen=True, slots=True)
class Scope:
    """A team, a project, or both; None does not narrow."""

    team: str | None
    project: str | None

    def has(self, job: Job) -> bool:
        """Whether a job is within the scope."""
        return self.team in {None, job.team_id} and self.project in {None, job.project_id}

    def shown(self) -> dict[str, str | None]:
        """As the commands print it."""
        return {"team": self.team, "project": self.project}


def scope_of(found: Target, *, team: str | None, project: str | None) -> Scope:
    """What the options name; ends the command where they have to name something and do not."""
    if team is None and project is None and not found.is_local and not SERVER_ADMIN.read(os.environ):
        fail(
            "whose jobs? in a deployment this command asks for a team or a project",
            hint=f"add --team or --project, or set {SERVER_ADMIN.name}=1 to mean everybody's",
        )
    return Scope(team, project)
