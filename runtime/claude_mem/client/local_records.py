"""Rows of a local claude-mem's database as records of an export. Which rows there are is for `local_database`.

Ids follow from the database's own, so that reading a row again gives the same record, and what is there already is not
added twice.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

#: Where records came from.
PROVIDER: Final = "claude-mem-local"
#: The project of a row that names none.
UNKNOWN: Final = "unknown"

_NAMES: Final = uuid.UUID("0c6d7d0e-3c1b-5e0a-8f53-3f6f5f0f9b52")
_SUMMARY: Final = ("request", "investigated", "learned", "completed", "next_steps", "notes")
_LISTS: Final = ("facts", "concepts", "files_read", "files_modified", "files_edited")

Record = dict[str, Any]
Row = dict[str, Any]


def project_of(row: Row) -> str:
    """A worktree's rows that were taken over by its repository belong there."""
    return str(row.get("merged_into_project") or row.get("project") or UNKNOWN)


def record_id(kind: str, *parts: object) -> str:
    """The id of a record: always the same for the same parts."""
    return str(uuid.uuid5(_NAMES, json.dumps([kind, *map(str, parts)])))


def _us(row: Row, name: str) -> int:
    """A time in microseconds since the epoch; columns hold milliseconds, in early versions seconds."""
    value = int(row.get(name) or 0)
    return value * 1000 if abs(value) >= 100_000_000_000 else value * 1_000_000


def session(row: Row) -> Record:
    """A row of `sdk_sessions`."""
    started = _us(row, "started_at_epoch")
    ended = _us(row, "completed_at_epoch") if row.get("completed_at_epoch") else None
    metadata = {"source": PROVIDER, "prompt": row.get("user_prompt"), "title": row.get("custom_title")}
    return {
        "type": "session",
        "id": record_id("session", row["content_session_id"]),
        "projectId": record_id("project", project_of(row)),
        "externalSessionId": row["content_session_id"],
        "contentSessionId": row["content_session_id"],
        # The server computes the key that its own hooks would give the session.
        "idempotencyKey": PROVIDER,
        "platformSource": row.get("platform_source") or "claude",
        "generationStatus": "completed" if row.get("status") == "completed" else "idle",
        "metadata": {name: value for name, value in metadata.items() if value},
        "startedAtUs": started,
        "endedAtUs": ended,
        "createdAtUs": started,
        "updatedAtUs": ended or started,
    }


def prompt(row: Row, session: Record) -> Record:
    """A row of `user_prompts` as an event of its session."""
    at = _us(row, "created_at_epoch")
    content_id, number = row["content_session_id"], row.get("prompt_number")
    return {
        "type": "event",
        "id": record_id("prompt", content_id, number, at),
        "projectId": session["projectId"],
        "serverSessionId": session["id"],
        "contentSessionId": content_id,
        "sourceAdapter": "api",
        "eventType": "user_prompt",
        "platformSource": session["platformSource"],
        "payload": {"prompt": row.get("prompt_text") or "", "promptNumber": number},
        "metadata": {"source": PROVIDER},
        "occurredAtUs": at,
        "receivedAtUs": at,
        "createdAtUs": at,
    }


def observation(row: Row, session: Record | None) -> Record:
    """A row of `observations`; the content is empty where it has no text."""
    parts = {name: row.get(name) for name in ("title", "subtitle", "narrative")}
    lists = {name: _list(row.get(name)) for name in _LISTS if row.get(name)}
    bullets = "\n".join(f"- {fact}" for fact in lists.get("facts", []))
    # Rows from before there were narratives have a text in its place.
    texts = [parts["title"], parts["subtitle"], parts["narrative"] or row.get("text"), bullets]
    return _memory(
        row,
        session,
        kind=str(row.get("type") or "observation"),
        content="\n\n".join(str(text) for text in texts if text),
        metadata=_own_metadata(row) | {name: value for name, value in parts.items() if value} | lists,
    )


def summary(row: Row, session: Record | None) -> Record:
    """A row of `session_summaries`; the content is empty where it has no text."""
    parts = {name: row.get(name) for name in _SUMMARY if row.get(name)}
    lines = [f"{name.replace('_', ' ').capitalize()}: {text}" for name, text in parts.items()]
    lists = {name: _list(row.get(name)) for name in _LISTS if row.get(name)}
    record = _memory(row, session, kind="summary", content="\n\n".join(lines), metadata=parts | lists)
    if session is not None:
        source = {"type": "session_summary", "id": session["id"], "createdAtUs": record["createdAtUs"]}
        record["sources"] = [source]
    return record


def _memory(row: Row, session: Record | None, *, kind: str, content: str, metadata: dict[str, Any]) -> Record:
    at = _us(row, "created_at_epoch")
    about = {
        "provider": PROVIDER,
        "model": row.get("generated_by_model"),
        "promptNumber": row.get("prompt_number"),
    }
    table = "summary" if kind == "summary" else "observation"
    return {
        "type": "observation",
        "id": record_id(table, row.get("memory_session_id"), row["id"], at),
        "projectId": record_id("project", project_of(row)),
        "serverSessionId": session["id"] if session else None,
        "kind": kind,
        "content": content,
        "metadata": metadata | {name: value for name, value in about.items() if value is not None},
        "createdAtUs": at,
        "updatedAtUs": at,
    }


def _own_metadata(row: Row) -> dict[str, Any]:
    """What the row's column of that name has; what is no JSON object stays as it is, under `metadata`."""
    found = _decoded(row.get("metadata"))
    if isinstance(found, dict):
        return found
    return {"metadata": found} if found else {}


def _list(value: Any) -> list[Any]:
    """A list that is stored as JSON; other text is one entry."""
    found = _decoded(value)
    return found if isinstance(found, list) else [found]


def _decoded(value: Any) -> Any:
    """What a column of JSON says; other text is itself."""
    try:
        return json.loads(value, parse_constant=str)
    except (TypeError, ValueError):
        return value
