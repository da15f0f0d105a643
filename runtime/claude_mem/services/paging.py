"""Listings in pages, by cursors that stay right while rows are added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from claude_mem.storage.cursors import Cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from claude_mem.storage.database import Row

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a listing.

    Parameters:
        next_cursor: asks for what follows; None at the end.
    """

    items: list[T]
    next_cursor: str | None


def page_of(
    found: Sequence[Row], limit: int, *, convert: Callable[[Row], T], by: str = "created_at"
) -> Page[T]:
    """Cut a listing that was read one row too far, and point behind the last row that is shown.

    Parameters:
        by: the time by which the listing is ordered, before the id.
    """
    shown = found[:limit]
    more = len(found) > limit and bool(shown)
    cursor = Cursor(shown[-1][by], shown[-1]["id"]).encode() if more else None
    return Page([convert(row) for row in shown], cursor)
