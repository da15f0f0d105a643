"""What words a text is made of, for the index and for questions alike.

A text falls into chunks: what stands between spaces and punctuation, where a path, a version, an identifier or a
hyphenated word is one chunk. A chunk gives *atoms*, its smallest words, reduced to their stems, and where it has
several also *wholes*: itself, and the identifiers and the file name within it. `src/auth/tokenStore.py` gives src, auth,
token, store and py, and the wholes tokenstore, tokenstore.py and src/auth/tokenstore.py. Hyphens, underscores and
humps are all the same, so `user_name` finds `userName`.

Scripts without spaces (Chinese, Japanese, Korean, Thai and their like) give pairs of neighbouring characters, as
Lucene's CJK analyzer does. Accents do not count in Latin and Greek. Stems are Snowball's, chosen by script, after
`spellings`.

What a stored word looks like is part of the index: after a change here every memory must be indexed again.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import Stemmer  # type: ignore[import-not-found] # carries no types

from claude_mem.retrieval.spellings import usual
from claude_mem.retrieval.stopwords import STOP_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Characters of a word at most; what is longer is cut in the index and in questions.
MAX_WORD = 64
#: Characters of an identifier or path that is kept whole.
MAX_WHOLE = 160
#: How often a word counts is kept in halves and at most this many of them: it is one byte in the index.
MAX_FREQUENCY = 255

# Marks that belong to letters: combining accents, Hebrew and Arabic points, and the vowel signs of Indic scripts and Thai.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0dff\u0e31-\u0e4e"
_LETTER = rf"[\w{_MARKS}]"
_CHUNK = re.compile(rf"{_LETTER}+(?:(?:[-./\\:@#+'\u2019]|::|://){_LETTER}+)*(?:\+\+|#)?")
_PIECE = re.compile(rf"[^\W_](?:[^\W_]|[{_MARKS}])*")
_LETTERS = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{_MARKS}])*")
_LINE_NUMBER = re.compile(r"(?::\d+){1,2}$")
_APOSTROPHE = re.compile("['\u2019](?:[sS]$)?")
_BREAK = re.compile(r"[^-_\w" + _MARKS + "]+")
_UPPER = "A-ZÀ-ÖØ-ÞΑ-ΩА-ЯЁ"
_LOWER = "a-zß-öø-ÿα-ωа-яё"
_HUMP = re.compile(rf"(?<=[{_LOWER}\d])(?=[{_UPPER}])|(?<=[{_UPPER}])(?=[{_UPPER}][{_LOWER}])")
_PLURAL_ACRONYM = re.compile(rf"[{_UPPER}]{{2,}}s")
_NUMBERED = re.compile(r"([^\W\d_]{2,})(\d+)|(\d+)([^\W\d_]{2,})")
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+)"
)
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_ACCENT = re.compile("[\u0300-\u036f]")
_LIGATURES = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "\u0131": "i", "þ": "th", "ð": "d"}
)

#: The first character of a script's block, its last, and the language whose rules reduce its words.
_STEMMERS = (
    ("a", "z", "english"),
    ("\u0370", "\u03ff", "greek"),
    ("\u0400", "\u04ff", "russian"),
    ("\u0530", "\u058f", "armenian"),
    ("\u0600", "\u06ff", "arabic"),
    ("\u0900", "\u097f", "hindi"),
    ("\u0b80", "\u0bff", "tamil"),
)
_thread = threading.local()


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is written, without case and accents, and the term that stands for it in the index."""

    surface: str
    term: str

    @property
    def is_stop(self) -> bool:
        """Whether it says nothing about what a text is about."""
        return self.surface in STOP_WORDS


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a chunk of text is made of.

    Parameters:
        atoms: its smallest words, in order; pairs of characters in scripts without spaces.
        wholes: terms of the chunk itself and of identifiers within it, where it has several atoms.
        characters: the single characters of scripts without spaces.
    """

    atoms: tuple[Word, ...]
    wholes: tuple[str, ...]
    characters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Analysed:
    """A text's words.

    Parameters:
        frequencies: how often each term occurs, weighted, in halves.
        length: words of its text, unweighted and without stop words.
    """

    frequencies: dict[str, int]
    length: int


def chunks(text: str) -> list[str]:
    """The chunks of a text, in order."""
    return _CHUNK.findall(text if text.isascii() else unicodedata.normalize("NFKC", text))


def words(text: str) -> list[str]:
    """The words of a text in order, without case and accents but not reduced: what phrases are compared by."""
    found = _PIECE.findall(text if text.isascii() else unicodedata.normalize("NFKC", text))
    return [fold(word) for word in found]


def analyse(text: str, *, emphasised: Iterable[tuple[str, int]] = ()) -> Analysed:
    """Count the words of a document.

    Parameters:
        text: each word in it counts once.
        emphasised: further texts, such as a title that may be in the text too, and how much each word in them counts
            beside, in halves. They do not make the document longer.
    """
    frequencies: dict[str, int] = {}
    length = _count(text, frequencies, weight=2)
    for further, weight in emphasised:
        _count(further, frequencies, weight=weight)
    return Analysed(frequencies, length)


def _count(text: str, frequencies: dict[str, int], *, weight: int) -> int:
    length = 0
    for chunk, count in Counter(chunks(text)).items():
        terms, size = _indexed(chunk) if len(chunk) <= MAX_WORD else _indexed_anew(chunk)
        length += size * count
        for term in terms:
            frequencies[term] = frequencies.get(term, 0) + weight * count
    return length


def _indexed_anew(chunk: str) -> tuple[tuple[str, ...], int]:
    parsed = parse_chunk(chunk)
    terms = tuple(word.term for word in parsed.atoms)
    return terms + parsed.wholes + parsed.characters, sum(not word.is_stop for word in parsed.atoms)


_indexed = lru_cache(maxsize=1 << 16)(_indexed_anew)


def parse_chunk(chunk: str) -> Chunk:
    """Split one chunk as `chunks` gives it."""
    atoms: list[Word] = []
    characters: list[str] = []
    wholes: dict[str, None] = {}
    bare = _APOSTROPHE.sub("", chunk)
    parts = [part for part in _BREAK.split(bare) if part]
    for part in parts:
        before = len(atoms)
        for piece in _PIECE.findall(part):
            _take_piece(piece, atoms, characters)
        if len(atoms) - before > 1 and not characters:
            _add_whole(wholes, _PIECE.findall(part))
    if (len(parts) > 1 or bare[-1:] in "+#") and len(bare) <= MAX_WHOLE:
        written = fold(_LINE_NUMBER.sub("", bare)).replace("_", "").replace("-", "").replace("\\", "/")
        wholes[written] = None
        wholes[written.rpartition("/")[2]] = None
    terms = {word.term for word in atoms}
    return Chunk(tuple(atoms), tuple(whole for whole in wholes if whole not in terms), tuple(characters))


def _add_whole(wholes: dict[str, None], pieces: list[str]) -> None:
    joined = fold("".join(pieces))
    if len(joined) <= MAX_WHOLE:
        wholes[stem(joined)] = None


def _take_piece(piece: str, atoms: list[Word], characters: list[str]) -> None:
    for number, run in enumerate(_UNSPACED.split(piece)):
        if not run:
            continue
        if number % 2:
            pairs = [run[at : at + 2] for at in range(len(run) - 1)]
            atoms += [Word(pair, pair) for pair in pairs]
            characters += run
            continue
        for written in _humps(run):
            surface = fold(written)[:MAX_WORD]
            atoms.append(Word(surface, stem(surface)))


def _humps(piece: str) -> list[str]:
    """The words of an identifier: at humps, and where a word's letters and a number meet."""
    if piece.islower() or piece.isupper() or _PLURAL_ACRONYM.fullmatch(piece):
        humps = [piece]
    else:
        humps = _HUMP.split(piece)
        # The O of OAuth says nothing alone.
        humps = [hump for hump in humps if len(hump) > 1 or hump.isdigit()] or humps
    found: list[str] = []
    for hump in humps:
        numbered = _NUMBERED.fullmatch(hump)
        found += [part for part in numbered.groups() if part] if numbered else [hump]
    return found


def is_unspaced(character: str) -> bool:
    """Whether a character is of a script that is written without spaces between words."""
    return _UNSPACED.match(character) is not None


def fold(text: str) -> str:
    """Without case, and without accents where a script can be read without them."""
    if text.isascii():
        return text.lower()
    folded = text.casefold()
    if _CYRILLIC.search(folded):
        return folded.replace("\u0451", "\u0435")
    plain = _ACCENT.sub("", unicodedata.normalize("NFD", folded))
    return unicodedata.normalize("NFC", plain).translate(_LIGATURES)


def stem(word: str, *, language: str | None = None) -> str:
    """The stem of a folded word in its usual spelling, by the rules for its script.

    What has a digit or is short stays as it is.

    Parameters:
        language: by whose rules, as Snowball names it, in place of the script's.
    """
    word = usual(word)
    if not 3 <= len(word) <= MAX_WORD or not (word.isalpha() or _LETTERS.fullmatch(word)):
        return word
    stemmed: str
    if language is not None:
        stemmed = _stemmer(language).stemWord(word)
        return stemmed
    for first, last, rules in _STEMMERS:
        if first <= word[0] <= last:
            stemmed = _stemmer(rules).stemWord(word)
            return stemmed
    return word


def _stemmer(language: str) -> Stemmer.Stemmer:
    # One each thread: a stemmer keeps state while it works.
    known: dict[str, Stemmer.Stemmer] = _thread.__dict__
    if language not in known:
        known[language] = Stemmer.Stemmer(language)
    return known[language]
