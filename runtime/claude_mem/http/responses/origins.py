"""Shapes of what led to a memory."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from claude_mem.http.responses.base import Epoch, Shape
from claude_mem.http.responses.records import Job, ObservationSource
from claude_mem.http.responses.told import TimelineEntry


class ProviderCall(Shape):
    """A call that a memory came of; its figures are the whole call's."""

    atEpoch: Epoch
    provider: str | None
    model: str | None
    tokens: int
    inputTokens: int
    outputTokens: int
    jobs: Annotated[
        int | None, Field(description="Jobs that shared the call; null where that was not noted.")
    ]
    costUsd: Annotated[float | None, Field(description="By list prices; null for a model without one.")]


class Origin(Shape):
    """What led to a memory, and what was made of it."""

    memoryId: str
    sources: Annotated[
        list[ObservationSource], Field(description="None of a memory that somebody wrote or imported.")
    ]
    events: Annotated[
        list[TimelineEntry], Field(description="Of the sources, as far as they are still there.")
    ]
    jobs: list[Job]
    calls: Annotated[
        list[ProviderCall],
        Field(description="None where nobody was asked, and of memories older than this note."),
    ]
    summaries: Annotated[
        list[TimelineEntry], Field(description="Of the memory's session, made when the memory was there.")
    ]
