"""The search syntax, parsed once and rendered for either storage.

Words are an OR, ranked by the storage; `"a phrase"` is required; `-word` excludes; `OR` is accepted and says nothing new.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r'(-?)"([^"]*)"?|(\S+)')
_WORD = re.compile(r"\w", re.UNICODE)

#: Terms beyond this many add cost and no meaning; the rest of a pasted text is left out.
MAX_TERMS = 64


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed question.

    Parameters:
        words: any of these may match.
        phrases: each of these must.
        excluded: none of these may.
    """

    words: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for: exclusions alone find nothing."""
        return not self.words and not self.phrases


def parse(text: str) -> Query:
    """Read a question as people type it; never fails."""
    words: dict[str, None] = {}
    phrases: dict[str, None] = {}
    excluded: dict[str, None] = {}
    for minus, phrase, bare in _TOKEN.findall(text):
        term = (phrase or bare).strip()
        if bare:
            negative = bare.startswith("-") and len(bare) > 1
            term = bare[1:] if negative else bare
            if bare in {"OR", "AND"}:
                continue
        else:
            negative = bool(minus)
        if not _WORD.search(term):
            continue
        chosen = excluded if negative else words if bare else phrases
        if len(chosen) < MAX_TERMS:
            chosen[term] = None
    return Query(tuple(words), tuple(phrases), tuple(excluded))


def for_postgres(query: Query) -> str:
    """The expression for `to_tsquery`; each term is quoted, so its own parser splits compounds into phrases."""
    required = [_quote_lexeme(phrase) for phrase in query.phrases]
    if query.words:
        required.append("(" + " | ".join(_quote_lexeme(word) for word in query.words) + ")")
    return " & ".join(required + [f"!{_quote_lexeme(term)}" for term in query.excluded])


def for_sqlite(query: Query) -> str:
    """The expression for FTS5's MATCH."""
    required = [_quote_string(phrase) for phrase in query.phrases]
    if query.words:
        required.append("(" + " OR ".join(_quote_string(word) for word in query.words) + ")")
    expression = " AND ".join(required)
    if not query.excluded:
        return expression
    return f"({expression}) NOT ({' OR '.join(_quote_string(term) for term in query.excluded)})"


def _quote_lexeme(term: str) -> str:
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"


def _quote_string(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'
