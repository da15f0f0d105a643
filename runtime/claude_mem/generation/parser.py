"""Reads a model's reply, in XML or JSON, into the reply model.

The XML form is not XML: models leave entities bare, nest angle brackets in prose and stop in the middle. So
it is scanned, element by element, with knowledge of the form:

- a fence around the whole reply is taken off;
- `<skip_summary />` anywhere means that nothing is worth keeping;
- the first `<observation` or `<summary`, in any case, decides what is looked for; the elements themselves
  must be spelt exactly and carry no attributes;
- inside an element, text runs to that element's own end tag, whatever stands between; an element that is
  never closed ends where the next one begins.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import pydantic_core

from claude_mem.generation.errors import ParseError
from claude_mem.generation.port import DraftObservation, DraftSummary, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_REPLY_CHARACTERS = 200_000
"""Longer replies are cut: nothing sensible is that long, and scanning stays quick whatever they hold."""
REJECTED = "parser rejected response"
"""The reason stored with a job whose reply held nothing usable."""

_OBSERVATION_FIELDS = (
    "type", "title", "subtitle", "facts", "narrative",
    "concepts", "files_read", "files_modified", "source_events",
)  # fmt: skip
_SUMMARY_FIELDS = ("request", "investigated", "learned", "completed", "next_steps", "notes")
_LISTS = {"facts": "fact", "concepts": "concept", "files_read": "file", "files_modified": "file"}
_MAX_BLOCKS = 200
_MAX_FIELDS = 64
_MAX_TAG = 300
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_NAMED = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'"}


def parse_reply(text: str | None, *, default_type: str, event_ids: Sequence[str] = ()) -> Reply:
    """Read a reply.

    Parameters:
        text: what the model wrote.
        default_type: type of an observation that names none.
        event_ids: the request's events in order, to resolve the numbers in `source_events`.

    Raises:
        ParseError: nothing usable in it.
    """
    body = _unfence((text or "").strip()[:MAX_REPLY_CHARACTERS])
    if body[:1] in ("{", "["):
        document = _json(body)
        if document is not None:
            return _from_json(document, default_type=default_type, event_ids=event_ids)
    if _has_skip_marker(body):
        return Reply(skipped=True)
    root = _root(body)
    if root == "observation":
        found = islice(_blocks(body, "observation", fields=_OBSERVATION_FIELDS), _MAX_BLOCKS)
        blocks = [_plain(fields) for fields in found]
        return _observations(blocks, default_type=default_type, event_ids=event_ids)
    if root == "summary":
        first = next(_blocks(body, "summary", fields=_SUMMARY_FIELDS), {})
        return _summary(_plain(first))
    raise ParseError(REJECTED)


def _unfence(text: str) -> str:
    """Take off a ``` fence when it encloses everything."""
    if not (text.startswith("```") and text.endswith("```") and len(text) > 6):
        return text
    opening, newline, inner = text[:-3].partition("\n")
    label = opening[3:].strip()
    return inner.strip() if newline and (not label or label.isalnum()) else text


def _json(text: str) -> Any:
    """The JSON value of a reply; one that broke off is kept as far as it goes. None when it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return pydantic_core.from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return None


def _from_json(document: Any, *, default_type: str, event_ids: Sequence[str]) -> Reply:
    if isinstance(document, list):
        document = {"observations": document}
    if isinstance(document.get("summary"), dict):
        return _summary(document["summary"])
    found = document.get("observations")
    if document.get("skipped") is True or found == []:
        return Reply(skipped=True)
    blocks = [block for block in found if isinstance(block, dict)] if isinstance(found, list) else []
    return _observations(blocks, default_type=default_type, event_ids=event_ids)


def _observations(blocks: list[dict[str, Any]], *, default_type: str, event_ids: Sequence[str]) -> Reply:
    drafts = [DraftObservation.model_validate(block) for block in blocks]
    kept = [
        draft.model_copy(
            update={
                "type": draft.type or default_type,
                "concepts": [
                    concept for concept in draft.concepts if concept != (draft.type or default_type)
                ],
                "source_events": _resolve(draft.source_events, event_ids),
            }
        )
        for draft in drafts
    ]
    kept = [draft for draft in kept if not draft.is_empty]
    if not kept:
        raise ParseError(REJECTED)
    return Reply(observations=kept)


def _summary(fields: dict[str, Any]) -> Reply:
    summary = DraftSummary.model_validate(fields)
    if summary.is_empty:
        raise ParseError(REJECTED)
    return Reply(summary=summary)


def _resolve(references: Sequence[str], event_ids: Sequence[str]) -> list[str]:
    """Event ids behind the numbers (from 1) or ids that a model gave, in the request's order."""
    named = {word for reference in references for word in reference.replace(",", " ").split()}
    return [event for number, event in enumerate(event_ids, 1) if str(number) in named or event in named]


def _has_skip_marker(text: str) -> bool:
    for start in _tags(text):
        if text[start + 1 : start + 13].lower() != "skip_summary":
            continue
        end = _tag_end(text, start + 13)
        if end is None or text[start + 13] not in "/> \t\r\n":
            continue
        if text[end - 1] == "/" or text[end + 1 :].lstrip().lower().startswith("</skip_summary"):
            return True
    return False


def _tag_end(text: str, position: int) -> int | None:
    """Index of the `>` that ends a tag, skipping quoted attribute values."""
    quote = ""
    for index in range(position, min(len(text), position + _MAX_TAG)):
        character = text[index]
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == ">":
            return index
    return None


def _root(text: str) -> str | None:
    for start in _tags(text):
        name = text[start + 1 : start + 12].lower()
        if name == "observation":
            return "observation"
        if name.startswith("summary"):
            return "summary"
    return None


def _tags(text: str) -> Iterator[int]:
    start = text.find("<")
    while start != -1:
        yield start
        start = text.find("<", start + 1)


def _blocks(text: str, name: str, *, fields: Sequence[str]) -> Iterator[dict[str, str]]:
    """Raw field texts of every `<name>` element, in order."""
    opening = f"<{name}>"
    position = text.find(opening)
    while position != -1:
        block, position = _block(text, position + len(opening), name=name, fields=fields)
        yield block
        position = text.find(opening, position)


def _block(text: str, position: int, *, name: str, fields: Sequence[str]) -> tuple[dict[str, str], int]:
    """Read fields up to the block's end tag, or where that is missing to the next block or the text's end."""
    found: dict[str, str] = {}
    seen = 0
    while seen < _MAX_FIELDS and (start := text.find("<", position)) != -1:
        if text.startswith(f"</{name}>", start):
            return found, start + len(name) + 3
        if text.startswith(f"<{name}>", start):
            return found, start
        field = next((field for field in fields if text.startswith(f"<{field}>", start)), None)
        if field is None:
            position = start + 1
            continue
        seen += 1
        begin = start + len(field) + 2
        end, position = _field_end(text, begin, field=field, block=name, fields=fields)
        found.setdefault(field, text[begin:end])
    return found, len(text)


def _field_end(text: str, begin: int, *, field: str, block: str, fields: Sequence[str]) -> tuple[int, int]:
    """Where a field's text ends, and where scanning goes on."""
    closing = f"</{field}>"
    end = text.find(closing, begin)
    if end != -1 and not _next_block_begins(text, begin, end=end, block=block):
        return end, end + len(closing)
    stops = [text.find(stop, begin) for stop in (f"</{block}>", *(f"<{other}>" for other in fields))]
    unclosed = min((stop for stop in stops if stop != -1), default=len(text))
    return unclosed, unclosed


def _next_block_begins(text: str, begin: int, *, end: int, block: str) -> bool:
    """Whether one block ends and another begins, with nothing between them, within a stretch of text."""
    position = text.find(f"</{block}>", begin, end)
    while position != -1:
        position += len(block) + 3
        if text[position : min(end, position + _MAX_TAG)].lstrip().startswith(f"<{block}>"):
            return True
        position = text.find(f"</{block}>", position, end)
    return False


def _plain(fields: dict[str, str]) -> dict[str, Any]:
    return {
        name: _items(raw, _LISTS[name]) if name in _LISTS else unescape(raw) for name, raw in fields.items()
    }


def _items(raw: str, name: str) -> list[str]:
    """Texts of the `<name>` elements; without any, the lines, less their bullets."""
    opening, closing = f"<{name}>", f"</{name}>"
    pieces = raw.split(opening)
    if len(pieces) == 1:
        return [unescape(line.strip().removeprefix("- ")) for line in raw.splitlines()]
    return [unescape(piece.partition(closing)[0]) for piece in pieces[1:]]


def unescape(text: str) -> str:
    """Resolve CDATA sections and the entities of XML; anything else that begins with `&` stays."""
    first, *sections = text.split("<![CDATA[")
    pieces = [_ENTITY.sub(_character, first)]
    for section in sections:
        literal, _, after = section.partition("]]>")
        pieces += (literal, _ENTITY.sub(_character, after))
    return "".join(pieces)


def _number(entity: str) -> int:
    return int(entity[3:-1], 16) if entity[2] in "xX" else int(entity[2:-1])


def _character(match: re.Match[str]) -> str:
    entity = match.group()
    if entity in _NAMED:
        return _NAMED[entity]
    code = _number(entity)
    return chr(code) if 0 < code <= 0x10FFFF else entity
