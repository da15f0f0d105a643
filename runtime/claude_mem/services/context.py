"""Who asks, and what is written down about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_mem.model.errors import Forbidden
from claude_mem.model.records import AuditEntry
from claude_mem.model.scopes import is_admin

if TYPE_CHECKING:
    from claude_mem.model.records import Principal


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The caller of a service.

    Parameters:
        request_id: echoed to the client and kept in audit rows and job payloads; None on the compatibility routes.
        via: the surface, where it is not plain HTTP: audit rows name it.
        traceparent: W3C trace context that jobs of this request go on with; None where nothing is traced.
    """

    principal: Principal
    request_id: str | None = None
    via: str | None = None
    traceparent: str | None = None

    @property
    def team_id(self) -> str:
        """The caller's team.

        Raises: Forbidden when the key is bound to none.
        """
        return self.require_team()

    def require_team(self) -> str:
        """Refuse a key that is bound to no team.

        Returns: the caller's team.

        Raises: Forbidden.
        """
        team_id = self.principal.team_id
        if team_id is None:
            raise Forbidden("API key is not bound to a team")
        return team_id

    def require_administrator(self, what: str) -> str:
        """Refuse a key that is not the whole team's, or has no administrator's scope.

        Parameters:
            what: is to be done, such as `rename a team`.

        Returns: the caller's team.

        Raises: Forbidden.
        """
        team_id = self.require_team()
        if not is_admin(self.principal.scopes) or self.principal.project_id is not None:
            raise Forbidden(f"only a team-wide key with an administrator's scope may {what}")
        return team_id

    def check_project(self, project_id: str) -> None:
        """Refuse a project other than the one that the key is bound to.

        Raises: Forbidden.
        """
        if self.principal.project_id is not None and self.principal.project_id != project_id:
            raise Forbidden("API key is scoped to a different project")

    def sees_project(self, project_id: str) -> bool:
        """Whether the key is of the whole team or of this project; which team's it is, is not asked."""
        return self.principal.project_id is None or self.principal.project_id == project_id

    def audit(
        self,
        action: str,
        resource_type: str,
        *,
        resource_id: str | None,
        project_id: str | None,
        **details: Any,
    ) -> AuditEntry:
        """An entry of the audit log about this request."""
        if self.request_id is not None:
            details["requestId"] = self.request_id
        if self.via is not None:
            details["via"] = self.via
        return AuditEntry(
            action=action,
            resource_type=resource_type,
            resource_id=resource_id,
            team_id=self.principal.team_id,
            project_id=project_id,
            actor_id=self.principal.actor_id,
            api_key_id=self.principal.key_id,
            details=details,
        )
