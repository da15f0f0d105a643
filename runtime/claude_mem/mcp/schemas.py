"""JSON Schemas that the tools' definitions share."""

from __future__ import annotations

from typing import Any

PROJECT_ID: dict[str, Any] = {"type": "string", "description": "Id of the project whose memory is meant."}
QUERY: dict[str, Any] = {
    "type": "string",
    "description": "What to look for: words, names, paths, error messages, times.",
}
MEMORY_ID: dict[str, Any] = {"type": "string", "description": "Id of a memory."}

_NULLABLE_TEXT: dict[str, Any] = {"type": ["string", "null"]}

MEMORY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "projectId": {"type": "string"},
        "teamId": {"type": "string"},
        "serverSessionId": _NULLABLE_TEXT,
        "kind": {"type": "string"},
        "content": {"type": "string"},
        "metadata": {"description": "What is known besides: title, facts, files, concepts."},
        "createdAtEpoch": {"type": "integer", "description": "Milliseconds since the Unix epoch."},
        "updatedAtEpoch": {"type": "integer"},
    },
    "required": [
        "id",
        "projectId",
        "teamId",
        "serverSessionId",
        "kind",
        "content",
        "metadata",
        "createdAtEpoch",
        "updatedAtEpoch",
    ],
}

_CURSOR: dict[str, Any] = {"type": ["string", "null"]}

_ENTRY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["observation", "summary", "prompt", "event"]},
        "id": {"type": "string"},
        "atEpoch": {"type": "integer", "description": "Milliseconds since the Unix epoch."},
        "serverSessionId": _NULLABLE_TEXT,
        "kind": {"type": "string"},
        "title": _NULLABLE_TEXT,
        "text": {"type": "string", "description": "Shortened."},
    },
    "required": ["type", "id", "atEpoch", "serverSessionId", "kind", "title", "text"],
}

TIMELINE: dict[str, dict[str, Any]] = {
    "memory": MEMORY,
    "before": {"type": "array", "items": _ENTRY},
    "after": {"type": "array", "items": _ENTRY},
    "sessions": {"type": "array", "items": {"type": "object"}},
    "olderCursor": _CURSOR,
    "newerCursor": _CURSOR,
}
