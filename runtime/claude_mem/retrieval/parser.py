"""The search syntax, parsed into a `Query`.

Words are an OR, ranked; `"a phrase"` is required; `-word` and `-"a phrase"` exclude; `OR` is accepted and says nothing
new; `word*` stands for all words that begin so. A command's flag, `--force` or `-v`, is a word like others. Times in
words (see `periods`) prefer what is from then. Stop words count only where nothing else is asked for. In a question in
another language that has Latin letters (see `languages`) a word stands for all its forms. A pasted text has no syntax: its
quotes and dashes are punctuation.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from claude_mem.retrieval import clippings, languages, periods
from claude_mem.retrieval.analyzer import chunks, parse_chunk, words
from claude_mem.retrieval.query import Phrase, Query, Term

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_mem.retrieval.analyzer import Chunk, Word
    from claude_mem.retrieval.periods import Period

#: Terms beyond this many add cost and no meaning; of a pasted text those that it repeats most are sought.
MAX_TERMS = 64

#: A question of more words is a pasted text: what it repeats is what it is about, and counts 1 + ln(times) as much.
LONG = 40

#: What an identifier or path counts as a whole beside its parts. They are one piece of evidence, seen twice. Of versions
#: and dates it is the other way round: their parts are numbers that are everywhere.
WHOLE_WEIGHT = 0.25

# Nobody excludes a word of one letter; scripts without spaces have such words.
_FLAG = re.compile(r"--|-[A-Za-z0-9][.,;:!?)]*$")
_HASH = re.compile(r"(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,40}")
_NUMBERED = re.compile(r"v?\d+(?:[-./]\d+)+[-.+\w]*", re.IGNORECASE)
_TOKEN = re.compile(r'(-?)"([^"]*)"?|(\S+)')
_PUNCTUATION = re.compile(r'"|(?<!\S)-+(?=\S)')
_ENDS = frozenset(".?!:")
_OPERATORS = frozenset({"OR", "AND"})
#: Words between phrases that make no question in words of them.
_LINKING = frozenset({"and", "or", "not"})


@dataclass(slots=True)
class _Reading:
    language: str | None
    terms: dict[str, Term] = field(default_factory=dict)
    stopped: dict[str, Term] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    phrases: dict[Phrase, None] = field(default_factory=dict)
    excluded: dict[str, None] = field(default_factory=dict)
    excluded_phrases: dict[Phrase, None] = field(default_factory=dict)


def parse(text: str, *, now_us: int) -> Query:
    """Read a question as people type it; never fails.

    Parameters:
        now_us: what `yesterday` is before, in microseconds since the epoch.
    """
    pasted = is_pasted(text)
    reading = _Reading(None if pasted else languages.language_of(words(text)))
    plain: list[str] = []
    typed = (_PUNCTUATION.sub(" ", text) if pasted else text).rstrip()
    before = ""
    for match in _TOKEN.finditer(typed):
        minus, phrase, bare = match.groups()
        if bare in _OPERATORS:
            continue
        if not bare:
            _take_phrase(reading, phrase, excluded=bool(minus))
        elif bare.startswith("-") and len(bare) > 1 and not is_flag(bare):
            _exclude(reading, bare[1:])
        else:
            plain.append(bare)
            _take_word(reading, bare, last=match.end() == len(typed), lower_before=before.islower())
            before = "" if bare[-1] in _ENDS else bare
    period = periods.find(" ".join(plain), now_us=now_us)
    asked = reading.terms
    if period is not None:
        asked = {name: term for name, term in asked.items() if name not in _only_time(period)}
    if not asked and not reading.phrases:
        # A time alone lists what is from then; stop words alone are looked for themselves.
        asked = {} if period is not None else reading.terms or reading.stopped
    return Query(
        terms=_repeated(list(asked.values()), reading.times) if pasted else tuple(asked.values())[:MAX_TERMS],
        phrases=tuple(reading.phrases)[:MAX_TERMS],
        excluded=tuple(reading.excluded)[:MAX_TERMS],
        excluded_phrases=tuple(reading.excluded_phrases)[:MAX_TERMS],
        period=period,
        in_words=not reading.stopped.keys() <= _LINKING,
    )


def is_pasted(text: str) -> bool:
    """Whether a question is so long that it is a text, and not in the syntax."""
    return len(text.split(None, LONG)) > LONG


def _repeated(terms: list[Term], times: Counter[str]) -> tuple[Term, ...]:
    terms.sort(key=lambda term: -times[term.text])
    return tuple(
        replace(term, weight=term.weight * (1 + math.log(times[term.text]))) for term in terms[:MAX_TERMS]
    )


def is_flag(bare: str) -> bool:
    """Whether a word that begins with a minus is a command's flag, and excludes nothing."""
    return _FLAG.match(bare) is not None


def _only_time(period: Period) -> frozenset[str]:
    said = {word.term for chunk in chunks(period.relative) for word in parse_chunk(chunk).atoms}
    return frozenset(said.union(*(clippings.OTHER_FORMS.get(term, ()) for term in said)))


def _take_word(reading: _Reading, bare: str, *, last: bool, lower_before: bool) -> None:
    starts = len(bare) > 1 and bare.endswith("*")
    # Punctuation ends a word.
    last = last and bare[-1].isalnum()
    for chunk in chunks(bare):
        parsed = parse_chunk(chunk)
        digits = not chunk.isalpha()
        numbered = digits and _NUMBERED.fullmatch(chunk) is not None
        goes_on = digits and _HASH.fullmatch(chunk) is not None
        meant = [word for word in parsed.atoms if not word.is_stop]
        # Parts of an identifier share the weight of somewhat more than one word, as evidence that comes together.
        weight = max(1, len(meant)) ** -0.5
        # Amid words in small letters a capital makes a name of a stop word: in Go, with Will, a GET.
        named = lower_before and chunk[0].isupper() and chunk[1:2].isalpha()
        for number, word in enumerate(parsed.atoms, 1):
            stopped = _says_nothing(reading, word) and not (starts or named)
            ends = number == len(parsed.atoms)
            share = weight * (WHOLE_WEIGHT if numbered else 1)
            term = _term(word, share, starts=starts and ends, unfinished=goes_on or (last and ends))
            if reading.language and not stopped and not term.starts:
                begins = languages.beginning(word.surface, reading.language)
                term = replace(term, prefix=begins, starts=True) if begins else term
            _keep(reading, term, stopped=stopped)
            for other in () if word.is_stop else clippings.OTHER_FORMS.get(word.term, ()):
                _keep(reading, Term(other, weight * clippings.WEIGHT))
        for whole in _wholes(chunk, parsed, weight * WHOLE_WEIGHT, numbered=numbered):
            _keep(reading, whole)
        if not parsed.atoms:
            for character in parsed.characters:
                _keep(reading, Term(character))


def _says_nothing(reading: _Reading, word: Word) -> bool:
    language = reading.language
    return word.is_stop or (language is not None and languages.holds_together(word.surface, language))


def _wholes(chunk: str, parsed: Chunk, weight: float, *, numbered: bool) -> Iterator[Term]:
    for whole in parsed.wholes:
        if not numbered:
            # A name by humps alone is often written without them: JavaScript, GitHub.
            yield Term(whole, 1.0 if chunk.isalnum() else weight)
            continue
        if "." not in whole:
            yield Term(whole, weight if "." in chunk else 1.0)
            continue
        # A version is written with a v or without, and may be the beginning of one.
        for form in (whole, whole[1:] if whole.startswith("v") else f"v{whole}"):
            yield Term(form, prefix=form, unfinished=True)


def _term(word: Word, weight: float, *, starts: bool, unfinished: bool) -> Term:
    prefix = word.surface if starts or len(word.surface) > 2 else None
    return Term(word.term, weight, prefix, starts, unfinished)


def _keep(reading: _Reading, term: Term, *, stopped: bool = False) -> None:
    terms = reading.stopped if stopped else reading.terms
    reading.times[term.text] += 1
    known = terms.get(term.text)
    if known is None or (term.starts, term.unfinished, term.weight) > (
        known.starts,
        known.unfinished,
        known.weight,
    ):
        terms[term.text] = term


def _take_phrase(reading: _Reading, text: str, *, excluded: bool) -> None:
    found = tuple(words(text))
    if not found:
        return
    parsed = [parse_chunk(chunk) for chunk in chunks(text)]
    meant = [word for chunk in parsed for word in chunk.atoms if not word.is_stop]
    # A run of one character of a script without spaces is no pair, and the index has it by itself.
    single = [character for chunk in parsed if not chunk.atoms for character in chunk.characters]
    phrase = Phrase(found, tuple(dict.fromkeys([word.term for word in meant] + single)))
    if excluded:
        reading.excluded_phrases[phrase] = None
        return
    reading.phrases[phrase] = None
    for word in meant:
        _keep(reading, Term(word.term))
    for character in single:
        _keep(reading, Term(character))


def _exclude(reading: _Reading, bare: str) -> None:
    if bare.startswith('"'):
        _take_phrase(reading, bare.strip('"'), excluded=True)
        return
    for chunk in chunks(bare):
        parsed = parse_chunk(chunk)
        if len(parsed.atoms) == 1:
            reading.excluded[parsed.atoms[0].term] = None
        elif parsed.wholes:
            # The whole chunk comes first among several, and two words joined by a hyphen are one whole.
            reading.excluded[_longest(parsed.wholes)] = None
        else:
            _take_phrase(reading, chunk, excluded=True)


def _longest(wholes: tuple[str, ...]) -> str:
    return max(wholes, key=len)
