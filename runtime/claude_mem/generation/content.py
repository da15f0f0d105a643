"""How observations and summaries are stored: their text, and the metadata beside it.

What is private is removed from every part first, so text and metadata agree. Keys, ids and the write itself
are the worker's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from claude_mem.generation.port import DraftObservation, DraftSummary
from claude_mem.privacy import redact

SUMMARY_KIND = "summary"
_SUMMARY_LABELS = {
    "request": "Request",
    "investigated": "Investigated",
    "learned": "Learned",
    "completed": "Completed",
    "next_steps": "Next steps",
    "notes": "Notes",
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A row's content.

    Parameters:
        kind: the observation's kind.
        content: searchable text; empty when privacy left nothing, and then there is no row to write.
        metadata: the parts, and who wrote them.
        redactions: how many private parts were removed.
    """

    kind: str
    content: str
    metadata: dict[str, Any]
    redactions: int


def render_observation(
    draft: DraftObservation, *, provider: str, model: str, method: str | None = None
) -> Rendered:
    """Render an observation for storage.

    Parameters:
        draft: what was written.
        provider, model: who wrote it.
        method: `rules` when no model was asked; stored when given.
    """
    visible = redact(draft.model_dump(exclude={"source_events"}))
    parts = DraftObservation.model_validate(visible.value)
    bullets = "\n".join(f"- {fact}" for fact in parts.facts)
    content = "\n\n".join(part for part in (parts.title, parts.subtitle, parts.narrative, bullets) if part)
    metadata = parts.model_dump(exclude={"type", "source_events"}) | _author(provider, model, method)
    return Rendered(kind=parts.type, content=content, metadata=metadata, redactions=visible.total)


def render_summary(draft: DraftSummary, *, provider: str, model: str, method: str | None = None) -> Rendered:
    """Render a session summary for storage; parameters as for an observation."""
    visible = redact(draft.model_dump())
    parts = DraftSummary.model_validate(visible.value).model_dump()
    lines = [f"{label}: {parts[name]}" for name, label in _SUMMARY_LABELS.items() if parts[name]]
    metadata = parts | _author(provider, model, method)
    return Rendered(
        kind=SUMMARY_KIND, content="\n\n".join(lines), metadata=metadata, redactions=visible.total
    )


def _author(provider: str, model: str, method: str | None) -> dict[str, str]:
    return {"provider": provider, "model": model} | ({"method": method} if method else {})
