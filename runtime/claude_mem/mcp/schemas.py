"""JSON Schemas that the tools' definitions share."""

from __future__ import annotations

from typing import Any

PROJECT_ID: dict[str, Any] = {"type": "string", "description": "Id of the project whose memory is meant."}
QUERY: dict[str, Any] = {
    "type": "string",
    "description": "What to look for: words, names, paths, error messages, times.",
}
MEMORY_ID: dict[str, Any] = {"type": "string", "description": "Id of a memory."}
LIMIT_TEXT = "How many at most."

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
