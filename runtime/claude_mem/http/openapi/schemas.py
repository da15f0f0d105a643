"""JSON schemas of what operations take and answer, each under one name, as OpenAPI has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from claude_mem.http.openapi.operation import Operation, Other
from claude_mem.http.responses.refusals import Error, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

_BOUNDS = {"ge": "minimum", "le": "maximum"}


class Schemas:
    """JSON schemas of everything that operations name, each under one name."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        shapes: dict[Any, TypeAdapter[Any]] = {shape: TypeAdapter(shape) for shape in (Error, Problem)}
        for operation in operations:
            for found in operation.answers.values():
                shape = found.shape if isinstance(found, Other) else found
                if shape is not None:
                    shapes.setdefault(shape, TypeAdapter(shape))
        bodies = {id(one.body): one.body for one in operations if one.body is not None}
        inputs = [
            *((("body", key), "validation", adapter) for key, adapter in bodies.items()),
            *((("shape", shape), "serialization", adapter) for shape, adapter in shapes.items()),
        ]
        made, whole = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type] # the mode is a Literal
        self._made = {key: sound(schema) for (key, _), schema in made.items()}
        self.definitions: dict[str, Any] = sound(whole["$defs"])

    def body(self, adapter: TypeAdapter[Any]) -> Any:
        """The schema of a request's body."""
        return self._made["body", id(adapter)]

    def shape(self, shape: Any) -> Any:
        """The schema of an answer."""
        return self._made["shape", shape]


def sound(schema: Any) -> Any:
    """A schema as the specification has it, without pydantic's titles and nulls for defaults.

    An optional member that may not be null has no default at all; `ge` and `le` are how pydantic spells the bounds of a
    number that is looked at before it is checked.
    """
    if isinstance(schema, list):
        return [sound(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {_BOUNDS.get(name, name): sound(part) for name, part in schema.items()}
    if isinstance(kept.get("title"), str):
        del kept["title"]
    if "default" in kept and kept["default"] is None:
        del kept["default"]
    return kept


def opened(schema: Any) -> Any:
    """A schema whose objects may have members that it does not name."""
    if isinstance(schema, list):
        return [opened(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: opened(part)
        for name, part in schema.items()
        if not (name == "additionalProperties" and part is False)
    }
