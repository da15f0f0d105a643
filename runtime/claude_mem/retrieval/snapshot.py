"""The documents of a project at one moment: how long they are, when they were made, and what followed what."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from claude_mem.retrieval.segments import Columns, Numbers

#: How soon after another a document is made for both to be of one piece of work, in microseconds. It is twice the
#: half hour that web analytics takes for the end of a visit: people think longer than they click.
FOLLOWS_US = 3600 * 1_000_000

#: What the shortest document borrows of the one before it, and the words, stop words not counted, from which one borrows
#: nothing.
SHARE = 0.4
STANDS_ALONE = 60

Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Part:
    """A segment as it is at one moment.

    Parameters:
        key: names it.
        deleted: numbers of its documents that are no more.
    """

    key: str
    columns: Columns
    deleted: Numbers


@dataclass(frozen=True)
class Snapshot:
    """All documents of a project at one moment, numbered through its parts."""

    parts: tuple[Part, ...]

    @cached_property
    def bases(self) -> list[int]:
        """The number of each part's first document."""
        sizes = [len(part.columns.lengths) for part in self.parts]
        return [sum(sizes[:at]) for at in range(len(sizes))]

    @cached_property
    def size(self) -> int:
        """Documents in all, those that are no more included."""
        return sum(len(part.columns.lengths) for part in self.parts)

    @cached_property
    def dead(self) -> Mask | None:
        """Which documents are no more; None when all are alive."""
        if not any(len(part.deleted) for part in self.parts):
            return None
        mask = np.zeros(self.size, np.bool_)
        for base, part in zip(self.bases, self.parts, strict=True):
            mask[part.deleted.astype(np.int64) + base] = True
        return mask

    @cached_property
    def lengths(self) -> Scores:
        return np.concatenate(
            [part.columns.lengths.astype(np.int64) for part in self.parts] or [_NONE]
        ).astype(np.float64)

    @cached_property
    def created(self) -> NDArray[np.int64]:
        return np.concatenate([part.columns.created for part in self.parts] or [_NONE])

    @cached_property
    def updated(self) -> NDArray[np.int64]:
        return np.concatenate([part.columns.updated for part in self.parts] or [_NONE])

    @cached_property
    def followers(self) -> NDArray[np.int64]:
        """The number of the document that was made next after each, within `FOLLOWS_US`; -1 where there is none.

        Documents that are no more are passed over. What was made at one instant has no order, and follows nothing.
        """
        alive = np.arange(self.size) if self.dead is None else np.flatnonzero(~self.dead)
        order = alive[np.argsort(self.created[alive], kind="stable")]
        gaps = np.diff(self.created[order])
        apart = np.concatenate([[True], gaps > 0, [True]])
        alone = apart[:-1] & apart[1:]
        linked = (gaps <= FOLLOWS_US) & alone[:-1] & alone[1:]
        found = np.full(self.size, -1, np.int64)
        found[order[:-1][linked]] = order[1:][linked]
        return found

    @cached_property
    def borrows(self) -> NDArray[np.float32]:
        """What each document borrows of the one before it, 0 to `SHARE`."""
        return (SHARE * np.maximum(0, 1 - self.lengths / STANDS_ALONE)).astype(np.float32)

    @cached_property
    def lends(self) -> NDArray[np.float32]:
        """What each document lends to its follower; 0 where there is none."""
        return np.where(self.followers < 0, np.float32(0), self.borrows[self.followers])

    @cached_property
    def documents(self) -> int:
        """How many are alive."""
        return self.size if self.dead is None else int(self.size - self.dead.sum())

    @cached_property
    def average_length(self) -> float:
        """Of those that are alive, in words; 1 where there is nothing to measure."""
        lengths = self.lengths if self.dead is None else self.lengths[~self.dead]
        return float(lengths.mean()) if len(lengths) and lengths.any() else 1.0

    def id_of(self, number: int) -> str:
        """The id of a document."""
        at = bisect.bisect_right(self.bases, number) - 1
        return bytes(self.parts[at].columns.ids[number - self.bases[at]]).decode()
