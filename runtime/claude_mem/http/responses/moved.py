"""Shapes of answers about imports."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from claude_mem.http.responses.base import Shape


class RefusedLine(Shape):
    """A line that was not taken in."""

    line: Annotated[int, Field(ge=1)]
    message: str


class ImportReport(Shape):
    """What became of an import."""

    dryRun: bool
    complete: Annotated[bool, Field(description="Whether the export's end line was there.")]
    lines: int
    imported: Annotated[dict[str, int], Field(description="New rows, by kind.")]
    duplicates: Annotated[dict[str, int], Field(description="What was there already, by kind.")]
    unlinked: Annotated[
        int, Field(description="References to what is neither in the export nor in the project.")
    ]
    redactions: Annotated[int, Field(description="Private spans and secrets that were taken out.")]
    refusedLines: int
    refused: Annotated[list[RefusedLine], Field(description="The first hundred of them.")]
