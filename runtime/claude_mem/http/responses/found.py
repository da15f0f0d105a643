"""Shapes of what a search finds."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field

from claude_mem.http.responses.base import Shape
from claude_mem.http.responses.records import Observation


class Piece(Shape):
    """A part of a fragment of a memory's text."""

    text: str
    match: Annotated[bool, Field(description="Whether it is why the memory was found.")]


class Contribution(Shape):
    """What one term of the question adds to a score."""

    term: Annotated[
        str,
        Field(description="As the index has it, reduced to its stem; `(time)` is the time that was named."),
    ]
    weight: Annotated[float, Field(description="The share of the term in the question.")]
    frequency: Annotated[float, Field(description="How often the memory has it, weighted by field.")]
    documentFrequency: Annotated[int, Field(description="How many memories of the project have it.")]
    idf: Annotated[float, Field(description="What its rarity makes it worth.")]
    score: Annotated[float, Field(description="What it adds.")]


class Statistics(Shape):
    """What scores depend on beside the memories themselves."""

    documents: Annotated[int, Field(description="Memories of the project.")]
    averageLength: Annotated[float, Field(description="Words of a memory, on average, without stop words.")]


class FoundObservation(Observation):
    """An observation with how well it matches; scores compare within one answer only."""

    score: float
    highlights: NotRequired[
        Annotated[list[list[Piece]], Field(description="Fragments of the text, if asked for.")]
    ]
    explanation: NotRequired[Annotated[list[Contribution], Field(description="Most first, if asked for.")]]


class SearchAnswer(Shape):
    """What was found, best first."""

    observations: list[FoundObservation]
    nextCursor: NotRequired[
        Annotated[str, Field(description="Asks for what follows, as `cursor`; absent at the end.")]
    ]
    statistics: NotRequired[Annotated[Statistics, Field(description="With `explain`.")]]


class ContextAnswer(Shape):
    """What was found, and its text for a prompt."""

    observations: list[Observation]
    context: str
