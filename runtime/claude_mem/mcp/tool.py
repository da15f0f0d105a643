"""What a tool is: its definition as agents see it, and what is done when one calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mcp_types as types

from claude_mem.model.scopes import READ

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from claude_mem.mcp.arguments import Arguments
    from claude_mem.model.records import Observation
    from claude_mem.services.assembly import Services
    from claude_mem.services.context import RequestContext
    from claude_mem.services.timeline import Around

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spelling:
    """How records are written, which is as the HTTP surface writes them."""

    observation: Callable[[Observation], Mapping[str, Any]]
    timeline: Callable[[Around], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what the tools stand on."""

    services: Services
    context: RequestContext
    spelling: Spelling


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool.

    Parameters:
        inputs: JSON Schema of each argument, by name.
        required: arguments that must be there.
        run: does it; its result is what the agent is told, as JSON or as the text that it is.
        scope: what a key needs for it beside reading; without it the tool is not listed, and refused.
        output: JSON Schema of the result's members; with it the result is given as structured content as well.
        destructive, idempotent: hints for the agent's user, see the protocol's tool annotations.
    """

    name: str
    title: str
    description: str
    inputs: Mapping[str, JsonObject]
    required: tuple[str, ...]
    run: Callable[[Caller, Arguments], Awaitable[Mapping[str, Any] | str]]
    scope: str = READ
    output: Mapping[str, JsonObject] | None = None
    destructive: bool = False
    idempotent: bool = True

    def definition(self) -> types.Tool:
        """The tool as it is listed."""
        reads = self.scope == READ
        return types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=_object(self.inputs, self.required),
            output_schema=None if self.output is None else _object(self.output, tuple(self.output)),
            annotations=types.ToolAnnotations(
                title=self.title,
                read_only_hint=reads,
                destructive_hint=self.destructive,
                idempotent_hint=self.idempotent,
                open_world_hint=False,
            ),
        )


def _object(properties: Mapping[str, JsonObject], required: tuple[str, ...]) -> JsonObject:
    return {"type": "object", "properties": dict(properties), "required": list(required)}
