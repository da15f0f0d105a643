"""An upload, cut into lines and read one by one. What is wrong with a line is told by its number, never by its text."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import ValidationError

from claude_mem.model.errors import InvalidInput
from claude_mem.services.cleaning import clean, clean_id, clean_text
from claude_mem.services.transfer_format import (
    LINE,
    AnyLine,
    EventLine,
    ObservationLine,
    ProjectLine,
    SessionLine,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from claude_mem.model.documents import Document

#: Bytes of a line at most: a payload of the largest request, with everything in it escaped, is shorter.
MAX_LINE: Final = 32 * 1024 * 1024

_IDS: Final = (
    "id",
    "project_id",
    "server_session_id",
    "external_session_id",
    "content_session_id",
    "source_event_id",
    "agent_id",
    "agent_type",
    "platform_source",
)
_TEXTS: Final = ("name", "kind", "content", "event_type", "source_adapter")
_DOCUMENTS: Final = ("payload", "metadata")

Stored = ProjectLine | SessionLine | EventLine | ObservationLine


class BadLine(Exception):
    """Raised when a line cannot be taken in; the message says why."""


@dataclass(frozen=True, slots=True)
class Item:
    """A line that is to be stored, without what was private in it.

    Parameters:
        number: of the line, from 1.
        line: as it was received.
        values: its ids and texts, cleaned.
        documents: its payload and metadata, likewise; of an observation also those of its sources, in `sources`.
        size: bytes of the line.
    """

    number: int
    line: Stored
    values: dict[str, Any]
    documents: dict[str, Document]
    size: int
    redactions: int
    sources: tuple[Document, ...] = field(default=())

    @property
    def id(self) -> str:
        """Its id in the export."""
        return str(self.values["id"])

    def within(self, project_id: str) -> Item:
        """The same in another project."""
        return replace(self, values=self.values | {"project_id": project_id})


async def cut(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes | None]]:
    """Lines with their numbers, from 1; None in the place of one that is too long. Blank lines are left out."""
    number, kept, too_long = 1, bytearray(), False
    async for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        kept += first if not too_long else b""
        for following in rest:
            if too_long or len(kept) > MAX_LINE:
                yield number, None
            elif kept.strip():
                yield number, bytes(kept)
            number, kept, too_long = number + 1, bytearray(following), False
        if len(kept) > MAX_LINE:
            kept, too_long = bytearray(), True
    if too_long:
        yield number, None
    elif kept.strip():
        yield number, bytes(kept)


def read(raw: bytes | None) -> AnyLine:
    """A line as its record.

    Raises: BadLine.
    """
    if raw is None:
        raise BadLine(f"longer than {MAX_LINE} bytes")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadLine(f"not JSON: {error.msg} at character {error.pos}") from error
    if b"\\u0000" in raw and _holds_nul(value):
        raise BadLine("the character U+0000 cannot be stored")
    try:
        return LINE.validate_python(value)
    except ValidationError as error:
        # Without the values, which may be private.
        found = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if found["type"] in {"union_tag_not_found", "union_tag_invalid", "model_attributes_type"}:
            raise BadLine("its type is not header, project, session, event, observation or end") from error
        place = ".".join(str(part) for part in found["loc"][1:])
        raise BadLine(f"{place}: {found['msg']}" if place else found["msg"]) from error


def prepare(number: int, line: Stored, *, size: int) -> Item:
    """Take out what is private.

    Raises: BadLine when it cannot be stored, or nothing is left.
    """
    values = {name: getattr(line, name) for name in type(line).model_fields}
    removed = 0
    for names, cleaner in ((_IDS, clean_id), (_TEXTS, clean_text)):
        for name in names:
            if values.get(name) is not None:
                values[name], count = cleaner(values[name])
                removed += count
    if isinstance(line, ObservationLine) and not values["content"].strip():
        raise BadLine("content: nothing is left of it once its private parts are taken out")
    try:
        cleaned = {name: clean(values.pop(name)) for name in _DOCUMENTS if name in values}
        of_sources = [clean(source.metadata) for source in getattr(line, "sources", ())]
    except InvalidInput as error:
        raise BadLine(error.message) from error
    removed += sum(one.removed for one in (*cleaned.values(), *of_sources))
    documents = {str(name): one.document for name, one in cleaned.items()}
    return Item(number, line, values, documents, size, removed, tuple(one.document for one in of_sources))


def session_row(item: Item) -> dict[str, Any]:
    """A session's own columns. One that was about to be summarised is idle: its job is not here."""
    values = item.values
    status = values["generation_status"]
    return {
        "external_session_id": values["external_session_id"],
        "content_session_id": values["content_session_id"],
        "agent_id": values["agent_id"],
        "agent_type": values["agent_type"],
        "platform_source": values["platform_source"],
        "generation_status": "idle" if status == "processing" else status,
        "metadata": item.documents["metadata"].text,
        "started_at": values["started_at_us"],
        "ended_at": values["ended_at_us"],
        "last_generated_at": values["last_generated_at_us"],
        "created_at": values["created_at_us"],
        "updated_at": values["updated_at_us"],
    }


def event_row(item: Item) -> dict[str, Any]:
    """An event's own columns."""
    values = item.values
    return {
        "source_adapter": values["source_adapter"],
        "source_event_id": values["source_event_id"],
        "event_type": values["event_type"],
        "platform_source": values["platform_source"],
        "payload": item.documents["payload"].text,
        "metadata": item.documents["metadata"].text,
        "occurred_at": values["occurred_at_us"],
        "received_at": values["received_at_us"],
        "created_at": values["created_at_us"],
    }


def observation_row(item: Item) -> dict[str, Any]:
    """An observation's own columns."""
    values = item.values
    return {
        "kind": values["kind"],
        "content": values["content"],
        "metadata": item.documents["metadata"].text,
        "created_at": values["created_at_us"],
        "updated_at": values["updated_at_us"],
    }


def _holds_nul(value: Any) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str) and "\0" in item:
            return True
        if isinstance(item, dict):
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            pending += item
    return False
