"""Whether two memories say the same, and whether one took the place of the other."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from claude_mem.generation.content import SUMMARY_KIND
from claude_mem.services.briefs import title_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from claude_mem.model.records import Observation

#: Share of words and pairs of words that two texts have in common from which on they say the same. Chosen so that a
#: corrected word in a sentence of twenty passes and another sentence about the same thing does not.
SAME = 0.8

#: The same, for memories about the same files, from which on the newer one is about the older one's matter.
RELATED = 0.25

#: Words of a text that are compared.
_WORDS = 600

#: A word; scripts without spaces are compared by character.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")

#: The same of a text in ASCII, found in half the time.
_PLAIN_WORD = re.compile(r"\w+", re.ASCII)

_DIGIT = re.compile(r"\d")

_FILES = ("files_modified", "files_read", "files")


@dataclass(frozen=True, slots=True)
class Profile:
    """What of a memory is compared.

    Parameters:
        parts: its words, and each two that follow each other.
        figures: those words that hold a digit: texts that differ in them do not say the same.
        files, concepts: as its metadata name them.
    """

    memory: Observation
    parts: frozenset[object]
    figures: frozenset[str]
    title: str | None
    files: frozenset[str]
    concepts: frozenset[str]

    @classmethod
    def of(cls, memory: Observation) -> Profile:
        """The profile of a memory."""
        text = memory.content[: _WORDS * 20].casefold()
        words = (_PLAIN_WORD if text.isascii() else _WORD).findall(text)[:_WORDS]
        title = title_of(memory)
        return cls(
            memory=memory,
            parts=frozenset([*words, *pairwise(words)]),
            figures=frozenset(filter(_DIGIT.search, words)) if _DIGIT.search(text) else frozenset(),
            title=None if title is None else " ".join(title.casefold().split()),
            files=_named(memory, *_FILES),
            concepts=_named(memory, "concepts"),
        )


def likeness(first: Profile, second: Profile) -> float:
    """The Jaccard index of two memories' parts: 0 for nothing in common, 1 for the same."""
    small, large = sorted((len(first.parts), len(second.parts)))
    if small == 0:
        return float(large == 0)
    common = len(first.parts & second.parts)
    return common / (small + large - common)


def says_the_same(first: Profile, second: Profile) -> bool:
    """Whether one of the two is enough."""
    small, large = sorted((len(first.parts), len(second.parts)))
    if small < SAME * large or first.figures != second.figures:
        return False
    return likeness(first, second) >= SAME


def signatures(profiles: Iterable[Profile]) -> dict[str, list[tuple[int, int]]]:
    """By memory: marks of which those that say the same have at least one in common.

    Memories with figures of their own have none. The others' are their rarest parts, by prefix filtering as Chaudhuri,
    Ganti and Kaushik have it (ICDE 2006): where two texts have the share `SAME` of their parts in common, the parts that
    this leaves out and one more cannot all differ, in whichever order they are taken.
    """
    groups: dict[frozenset[str], list[Profile]] = defaultdict(list)
    for profile in profiles:
        groups[profile.figures].append(profile)
    found: dict[str, list[tuple[int, int]]] = {}
    for number, group in enumerate(groups.values()):
        if len(group) == 1:
            found[group[0].memory.id] = []
            continue
        frequencies = Counter(chain.from_iterable(profile.parts for profile in group))
        shared = sorted(
            (part for part, count in frequencies.items() if count > 1), key=frequencies.__getitem__
        )
        ranks = {part: rank for rank, part in enumerate(shared)}
        for profile in group:
            found[profile.memory.id] = [(number, rank) for rank in _prefix(profile, ranks)]
    return found


def _prefix(profile: Profile, ranks: Mapping[object, int]) -> list[int]:
    """The first parts that a text has in common with any other; parts that it alone has come before them all."""
    size = len(profile.parts)
    if not size:
        return [-1]
    common = sorted(ranks[part] for part in profile.parts if part in ranks)
    least = next(count for count in range(int(SAME * size), size + 1) if count / size >= SAME)
    return common[: max(0, len(common) - least + 1)]


def supersedes(newer: Profile, older: Profile) -> bool:
    """Whether what the newer memory says took the place of what the older one says.

    That is so for the same title, and for the same files, concepts and kind where the texts are related. Texts that differ
    in their figures only are not enough: two issues may have been closed. Summaries tell of their sessions and are
    never superseded.
    """
    if SUMMARY_KIND in {newer.memory.kind, older.memory.kind}:
        return False
    if _moment(newer) <= _moment(older):
        return False
    if newer.title is not None and newer.title == older.title:
        return True
    if not newer.files or newer.files != older.files or newer.concepts != older.concepts:
        return False
    return newer.memory.kind == older.memory.kind and likeness(newer, older) >= RELATED


def _moment(profile: Profile) -> int:
    return profile.memory.updated_ms


def _named(memory: Observation, *names: str) -> frozenset[str]:
    found: set[str] = set()
    for name in names:
        value = memory.metadata.members.get(name)
        if isinstance(value, list):
            found.update(text for text in value if isinstance(text, str))
    return frozenset(found)
