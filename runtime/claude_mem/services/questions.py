"""What a search is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from claude_mem.storage.search import Filters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import Observation
    from claude_mem.retrieval.fusion import Placed
    from claude_mem.retrieval.highlights import Piece
    from claude_mem.retrieval.ranking import Contribution, Statistics
    from claude_mem.services.semantic import Meaning


@dataclass(frozen=True, slots=True)
class Question:
    """What a search asks for.

    Parameters:
        text: in the search syntax, see `claude_mem.retrieval.parser`.
        files: only what read or modified one of these: paths, or the ends or folders of paths.
        concepts: only what has one of these, whatever their case.
        highlights, explain: whether each hit is to have them.
        cursor: of the page before; it goes with the same question only.
    """

    project_id: str
    text: str
    limit: int
    filters: Filters = field(default_factory=Filters)
    files: Sequence[str] | None = None
    concepts: Sequence[str] | None = None
    highlights: bool = False
    explain: bool = False
    cursor: str | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether it asks for a part of the project's memories only."""
        return self.filters != Filters() or bool(self.files or self.concepts)


@dataclass(frozen=True, slots=True)
class Hit:
    """An observation that was found.

    Parameters:
        score: compares within one search only.
        highlights: fragments of the content as pieces; None unless asked for.
        explanation: what each term adds to the score; None unless asked for.
        placed: its ranks by words and by meaning; None unless asked for, and where words alone rank.
    """

    observation: Observation
    score: float
    highlights: list[list[Piece]] | None = None
    explanation: list[Contribution] | None = None
    placed: Placed | None = None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A part of a ranking.

    Parameters:
        next_cursor: asks for what follows; None at the end.
        statistics: of the project, as the scores used them; None when nothing was asked for.
        meaning: what meaning brought to a first page; None where words alone rank.
    """

    hits: list[Hit]
    next_cursor: str | None = None
    statistics: Statistics | None = None
    meaning: Meaning | None = None
