"""JSON schemas of the reply model, in the strict form that structured output asks for.

Strict means: every property required, none besides, no references. Optional texts may be null.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from claude_mem.generation.port import DraftObservation, DraftSummary

if TYPE_CHECKING:
    from pydantic import BaseModel

    from claude_mem.generation.port import RequestKind

NAME = "memory_reply"


@cache
def reply_schema(kind: RequestKind, *, attributed: bool) -> dict[str, Any]:
    """Schema of a reply. Shared: not to be changed.

    Parameters:
        kind: what is asked for.
        attributed: whether observations name the events they come from, by number.
    """
    if kind == "summary":
        return _object({"summary": _strict(DraftSummary)})
    observation = _strict(DraftObservation, without=() if attributed else ("source_events",))
    return _object({"observations": {"type": "array", "items": observation}, "skipped": {"type": "boolean"}})


def _strict(model: type[BaseModel], *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    properties = model.model_json_schema()["properties"]
    return _object(
        {
            name: {
                key: value for key, value in schema.items() if key not in ("title", "default", "description")
            }
            for name, schema in properties.items()
            if name not in without
        }
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
