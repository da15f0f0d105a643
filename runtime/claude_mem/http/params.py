"""Query parameters of listings: lenient where claude-mem 13 is, so that a wrong filter is as if it were not there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from claude_mem.model.errors import NotFound
from claude_mem.model.records import JobStatus, SourceType
from claude_mem.model.times import parse_since

if TYPE_CHECKING:
    from aiohttp import web

_LEADING_INTEGER = re.compile(r"\s*([+-]?[0-9]+)")
_LARGEST = 2**53 - 1


def integer(request: web.Request, name: str, *, default: int, least: int, most: int = _LARGEST) -> int:
    """An integer as JavaScript's parseInt reads it, moved into its bounds; anything else is the default."""
    values = request.query.getall(name, [])
    match = _LEADING_INTEGER.match(values[0]) if len(values) == 1 else None
    if match is None:
        return default
    digits = match[1]
    value = int(digits) if len(digits) < 20 else (_LARGEST if digits[0] != "-" else -_LARGEST)
    return max(least, min(value, most))


def text(request: web.Request, name: str) -> str | None:
    """A trimmed text given once; None when it is blank, repeated, or not storable."""
    values = request.query.getall(name, [])
    value = values[0].strip() if len(values) == 1 else ""
    return value if value and is_storable(value) else None


def status(request: web.Request) -> str | None:
    return _one_of(text(request, "status"), set(JobStatus))


def source_type(request: web.Request) -> str | None:
    return _one_of(text(request, "source_type"), set(SourceType) - {SourceType.MANUAL})


def since_us(request: web.Request) -> int | None:
    value = text(request, "since")
    return None if value is None else parse_since(value)


def wants_payload(request: web.Request) -> bool:
    """Whether `include` lists `payload`."""
    return any(
        "payload" in [part.strip() for part in value.split(",")]
        for value in request.query.getall("include", [])
    )


def path_id(request: web.Request, name: str, *, what: str) -> str:
    """An id from the path.

    Parameters:
        what: what is not found when no database could hold such an id.

    Raises: NotFound.
    """
    value = request.match_info[name]
    if not is_storable(value):
        raise NotFound(f"{what} not found")
    return value


def is_storable(value: str) -> bool:
    """Whether a database can hold the text: no NUL, no lone surrogate."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def _one_of(value: str | None, known: set[JobStatus] | set[SourceType]) -> str | None:
    return value if value in {str(item) for item in known} else None
