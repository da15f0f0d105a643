"""Idempotency keys of what is imported: those that a hook would give it again in its new project."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from claude_mem.model.canonical import canonical_json, sha256_hex
from claude_mem.model.identity import event_key, session_key
from claude_mem.services.transfer_format import EventLine, SessionLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_mem.services.transfer_lines import Item


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of one project.

    Parameters:
        source_team_id: the team of the export, which is a part of the keys in it.
    """

    source_team_id: str | None
    team_id: str
    project_id: str

    def of_session(self, item: Item) -> str | None:
        """The key by which a start of the session finds it again; None where it had none.

        Such keys are unique within a project, so in its own project a session keeps the one it has.
        """
        line = item.line
        if not isinstance(line, SessionLine) or line.idempotency_key is None:
            return None
        if (self.source_team_id, line.project_id) == (self.team_id, self.project_id):
            return line.idempotency_key
        return session_key(
            team_id=self.team_id,
            project_id=self.project_id,
            platform=line.platform_source,
            external_session_id=line.external_session_id,
            content_session_id=line.content_session_id,
            agent_id=line.agent_id,
            agent_type=line.agent_type,
        )

    def of_event(self, item: Item, *, session_id: str | None) -> str:
        """The key that a hook which sends the event again would give it, where that can be told.

        Keys of events are unique across teams, so none is taken from a file. Where the one there follows from what else
        the line says, the same is computed for this project; otherwise the key is one of imports.
        """
        line = item.line
        if isinstance(line, EventLine) and line.idempotency_key is not None:
            for known in _variants(line):
                was = event_key(
                    team_id=self.source_team_id or "",
                    project_id=line.project_id,
                    server_session_id=line.server_session_id,
                    **known,
                )
                if was == line.idempotency_key:
                    return event_key(
                        team_id=self.team_id,
                        project_id=self.project_id,
                        server_session_id=session_id,
                        **known,
                    )
        return f"agent_event:import:v1:{sha256_hex([self.team_id, self.project_id, item.id])}"


def _variants(line: EventLine) -> Iterator[dict[str, Any]]:
    """What the key may have been computed from: a platform or session that became known later was no part of it."""
    payload = "" if line.source_event_id is not None else canonical_json(line.payload)
    platforms = dict.fromkeys((line.platform_source, None))
    content_ids = dict.fromkeys((line.content_session_id, None))
    for platform, content_id in product(platforms, content_ids):
        yield {
            "adapter": line.source_adapter,
            "platform": platform,
            "source_event_id": line.source_event_id,
            "content_session_id": content_id,
            "event_type": line.event_type,
            "occurred_at_ms": line.occurred_at_us // 1000,
            "payload_canonical": payload,
        }
