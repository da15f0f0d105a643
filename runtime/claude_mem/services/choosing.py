"""What of many memories is worth telling: duplicates folded, what is out of date marked, the most useful first."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from claude_mem.generation.content import SUMMARY_KIND
from claude_mem.retrieval.highlights import highlight
from claude_mem.services.similarity import Profile, says_the_same, signatures, supersedes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from claude_mem.model.records import Observation
    from claude_mem.retrieval.query import Query
    from claude_mem.services.questions import Hit

#: Days after which a memory that nobody asked for by words is worth half.
HALF_LIFE_DAYS = 14.0

#: What a superseded memory is worth beside a current one.
SUPERSEDED = 0.5

#: What a kind is worth where there is no question: a summary tells a session, a decision holds longer than an edit.
KINDS = {
    SUMMARY_KIND: 1.6,
    "decision": 1.4,
    "manual": 1.4,
    "security_alert": 1.3,
    "bugfix": 1.2,
    "discovery": 1.1,
    "change": 0.8,
}

#: Words that matched which are named as a reason.
_NAMED = 4

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A memory that might be told.

    Parameters:
        value: how useful it is, above 0; compares with others of one choice only.
        why: tells the reasons for telling it, for people; asked only when it is about to be told, for looking takes time.
        similar: ids of memories that say the same and are not told.
        superseded_by: id of the newer memory that took its place.
    """

    memory: Observation
    value: float
    why: Callable[[], tuple[str, ...]]
    similar: tuple[str, ...] = ()
    superseded_by: str | None = None


def by_question(hits: Iterable[Hit], query: Query) -> list[Candidate]:
    """Candidates that a search found: worth their score."""
    return [
        Candidate(hit.observation, max(hit.score, 1e-9), partial(_reasons_of_match, hit.observation, query))
        for hit in hits
        if hit.observation.content.strip()
    ]


def by_recency(memories: Iterable[Observation], *, now_ms: int) -> list[Candidate]:
    """Candidates without a question: worth what their kind and age make them."""
    candidates = []
    for memory in memories:
        if not memory.content.strip():
            continue
        days = max(0, now_ms - memory.updated_ms) / _DAY_MS
        weight = KINDS.get(memory.kind, 1.0)
        candidates.append(
            Candidate(
                memory,
                max(weight * 0.5 ** (days / HALF_LIFE_DAYS), 1e-9),
                partial(_reasons_of_age, memory, days),
            )
        )
    return candidates


def choose(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates to be told, most useful first.

    Of those that say the same, the newest is told, for it has the last word, and is worth what the most useful one is.
    """
    profiles = {each.memory.id: Profile.of(each.memory) for each in candidates}
    marked = _marked(_folded(candidates, profiles), profiles)
    return sorted(marked, key=lambda each: (-each.value, -each.memory.updated_ms, each.memory.id))


def _folded(candidates: Sequence[Candidate], profiles: dict[str, Profile]) -> list[Candidate]:
    """One of those that say the same, newest first. Only what shares a mark is compared."""
    marks = signatures(profiles.values())
    newest_first = sorted(candidates, key=lambda each: (each.memory.updated_ms, each.memory.id), reverse=True)
    kept: list[Candidate] = []
    places: dict[tuple[int, int], list[int]] = defaultdict(list)
    for candidate in newest_first:
        own = profiles[candidate.memory.id]
        near = sorted({place for mark in marks[own.memory.id] for place in places.get(mark, ())})
        twin = next((place for place in near if says_the_same(profiles[kept[place].memory.id], own)), None)
        if twin is None:
            for mark in marks[own.memory.id]:
                places[mark].append(len(kept))
            kept.append(candidate)
            continue
        best = max(kept[twin], candidate, key=lambda each: each.value)
        kept[twin] = replace(
            kept[twin],
            value=best.value,
            why=best.why,
            similar=(*kept[twin].similar, candidate.memory.id),
        )
    return kept


def _marked(newest_first: Iterable[Candidate], profiles: dict[str, Profile]) -> Iterator[Candidate]:
    """The candidates, each told what took its place: the newest that did.

    Only what shares its title, or its files, concepts and kind, can have.
    """
    named: dict[object, list[int]] = defaultdict(list)
    earlier: list[Profile] = []
    for place, candidate in enumerate(newest_first):
        own = profiles[candidate.memory.id]
        matters = _matters(own)
        newer = sorted({found for matter in matters for found in named[matter]})
        by = next((earlier[found].memory.id for found in newer if supersedes(earlier[found], own)), None)
        for matter in matters:
            named[matter].append(place)
        earlier.append(own)
        if by is None:
            yield candidate
        else:
            yield replace(candidate, value=candidate.value * SUPERSEDED, superseded_by=by)


def _matters(profile: Profile) -> list[object]:
    """What two memories share at least, of which one supersedes the other."""
    found: list[object] = [] if profile.title is None else [profile.title]
    if profile.files:
        found.append((profile.files, profile.concepts, profile.memory.kind))
    return found


def _reasons_of_match(memory: Observation, query: Query) -> tuple[str, ...]:
    fragments = highlight(memory.content, query)
    matched = (piece.text.casefold() for fragment in fragments for piece in fragment if piece.match)
    words = list(dict.fromkeys(matched))[:_NAMED]
    reason = f"matches {', '.join(words)}" if words else "matches the question"
    return (reason, "sums up a session") if memory.kind == SUMMARY_KIND else (reason,)


def _reasons_of_age(memory: Observation, days: float) -> tuple[str, ...]:
    reasons = []
    if memory.kind == SUMMARY_KIND:
        reasons.append("sums up a session")
    elif memory.kind == "manual":
        reasons.append("was written on purpose")
    elif KINDS.get(memory.kind, 1.0) > 1:
        reasons.append(f"is a {memory.kind.replace('_', ' ')}")
    reasons.append("is from the last day" if days < 1 else f"is {days:.0f} days old")
    return tuple(reasons)
