"""Shapes of what a search finds."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

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
        Field(
            description=(
                "As the index has it, reduced to its stem; `(time)` is the time that was named, and `(before)` what a "
                "short memory borrows from the one made just before it."
            )
        ),
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


class Ranks(Shape):
    """Where a memory stood before both rankings were made one."""

    words: Annotated[int | None, Field(description="By words, from 1; null behind the first 64.")]
    meaning: Annotated[int | None, Field(description="By meaning, from 1; null where it is not close.")]
    similarity: Annotated[float | None, Field(description="Cosine of the angle to the question.")]


class Semantic(Shape):
    """What meaning had to say about a question."""

    model: Annotated[str, Field(description="Whose vectors were compared.")]
    used: Annotated[bool, Field(description="Whether both rankings were made one; else words alone rank.")]
    missing: Annotated[
        Literal[
            "not_supported",
            "timeout",
            "endpoint_failed",
            "circuit_open",
            "budget_spent",
            "database_failed",
            "no_words",
        ]
        | None,
        Field(description="Why not."),
    ]


class FoundObservation(Observation):
    """An observation with how well it matches; scores compare within one answer only."""

    score: float
    highlights: NotRequired[
        Annotated[list[list[Piece]], Field(description="Fragments of the text, if asked for.")]
    ]
    explanation: NotRequired[Annotated[list[Contribution], Field(description="Most first, if asked for.")]]
    ranks: NotRequired[Annotated[Ranks, Field(description="With `explain`, of a search by meaning too.")]]


class SearchAnswer(Shape):
    """What was found, best first."""

    observations: list[FoundObservation]
    nextCursor: NotRequired[
        Annotated[str, Field(description="Asks for what follows, as `cursor`; absent at the end.")]
    ]
    statistics: NotRequired[Annotated[Statistics, Field(description="With `explain`.")]]
    semantic: NotRequired[
        Annotated[
            Semantic,
            Field(description="With `explain`, on a first page, where the server has semantic search."),
        ]
    ]


class ContextAnswer(Shape):
    """What was found, and its text for a prompt."""

    observations: list[Observation]
    context: str
