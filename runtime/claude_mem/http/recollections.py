"""How timelines and contexts within a budget are spelled on the wire, over HTTP and MCP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.http import wire

if TYPE_CHECKING:
    from claude_mem.http.responses.told import (
        BriefedMemory,
        BriefingAnswer,
        SessionStory,
        Timeline,
        TimelineEntry,
        TimelineSession,
    )
    from claude_mem.model.records import Session
    from claude_mem.services.briefing import Briefing
    from claude_mem.services.packing import Told
    from claude_mem.services.timeline import Around, Entry, Span


def entry(found: Entry) -> TimelineEntry:
    return {
        "type": found.type,
        "id": found.id,
        "atEpoch": found.at_ms,
        "serverSessionId": found.session_id,
        "kind": found.kind,
        "title": found.title,
        "text": found.text,
    }


def around(found: Around) -> Timeline:
    """A memory with what lies around it; sessions are told once, beside the entries."""
    known = found.before.sessions | found.after.sessions
    return {
        "memory": wire.observation(found.memory),
        "before": [entry(each) for each in found.before.entries],
        "after": [entry(each) for each in found.after.entries],
        "sessions": [_session(each) for each in known.values()],
        "olderCursor": found.before.older,
        "newerCursor": found.after.newer,
    }


def story(session: Session, span: Span) -> SessionStory:
    """A session with what happened in it."""
    return {
        "session": wire.session(session),
        "entries": [entry(each) for each in span.entries],
        "nextCursor": span.newer,
    }


def briefing(found: Briefing) -> BriefingAnswer:
    """A context within a budget, with why each memory is in it."""
    packed = found.packed
    return {
        "context": packed.text,
        "observations": [wire.observation(memory) for memory in found.memories],
        "groups": [
            {
                "session": None if group.session is None else _session(group.session),
                "memories": [_told(each) for each in group.told],
            }
            for group in packed.groups
        ],
        "budget": {
            "maxTokens": found.max_tokens,
            "usedTokens": packed.tokens,
            "folded": found.folded,
            "leftOut": packed.left_out,
        },
    }


def _told(each: Told) -> BriefedMemory:
    return {
        "id": each.candidate.memory.id,
        "why": list(each.why),
        "similar": list(each.candidate.similar),
        "supersededBy": each.candidate.superseded_by,
        "shortened": each.shortened,
        "tokens": each.tokens,
    }


def _session(found: Session) -> TimelineSession:
    prompt = found.metadata.members.get("prompt")
    return {
        "id": found.id,
        "platformSource": found.platform_source,
        "prompt": prompt if isinstance(prompt, str) else None,
        "startedAtEpoch": found.started_ms,
        "endedAtEpoch": found.ended_ms,
    }
