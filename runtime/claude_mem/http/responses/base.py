"""What all shapes have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema, with_config
from typing_extensions import TypedDict

from claude_mem.model.records import JobStatus, Transport


@with_config(ConfigDict(extra="forbid"))
class Shape(TypedDict):
    """A JSON object with exactly the members that it names."""


#: Milliseconds since the Unix epoch.
Epoch = Annotated[int, Field(description="Milliseconds since the Unix epoch.")]

#: Any JSON: a stored document is passed on as it is.
Json = Annotated[Any, WithJsonSchema({"description": "Any JSON."})]

#: A JSON object, likewise. Rows of claude-mem 13 may hold other JSON there.
Metadata = Annotated[Any, WithJsonSchema({"description": "A JSON object; in adopted rows any JSON."})]

Status = Annotated[str, Field(json_schema_extra={"enum": [str(status) for status in JobStatus]})]
Travelling = Annotated[str, Field(json_schema_extra={"enum": [str(transport) for transport in Transport]})]

#: How many private spans and secrets were taken out.
Redactions = Annotated[int, Field(ge=1, description="Private spans and secrets that were taken out.")]

NextCursor = Annotated[
    str | None, Field(description="Asks for the next page as `cursor`; null on the last one.")
]
