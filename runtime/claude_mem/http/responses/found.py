"""Shapes of what a search finds."""

from __future__ import annotations

from claude_mem.http.responses.base import Shape
from claude_mem.http.responses.records import Observation


class ScoredObservation(Observation):
    """An observation with how well it matches; scores compare within one answer only."""

    score: float


class SearchAnswer(Shape):
    """What was found, best first."""

    observations: list[ScoredObservation]


class ContextAnswer(Shape):
    """What was found, and its text for a prompt."""

    observations: list[Observation]
    context: str
