"""Segments: the index of some documents of one project, never changed once it is written.

A segment numbers its documents from 0. It has their ids, lengths and times as packed columns, and for each term the
documents that hold it with the term's frequency, in blocks sorted by term. Several segments become one by `merge`.
Nothing here knows where blocks are kept.

A block, little-endian: the number of terms and the size of their text (uint32 each); how many documents each term has
(uint32); all document numbers (uint16); all frequencies (uint8, in halves); the terms, joined by line ends.
"""

from __future__ import annotations

import bisect
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from claude_mem.retrieval.analyzer import MAX_FREQUENCY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from claude_mem.retrieval.analyzer import Analysed

#: Documents of a segment at most: a number is two bytes.
MAX_DOCUMENTS = 1 << 16

#: Bytes at which a block ends. A term that needs more has a block of its own.
BLOCK_BYTES = 4096

_HEADER = struct.Struct("<II")
_POSTING_BYTES = 3

Numbers = NDArray[np.uint16]
Frequencies = NDArray[np.uint8]


class Postings(NamedTuple):
    """The documents that hold a term, ascending, and how often each does, in halves."""

    documents: Numbers
    frequencies: Frequencies


NO_POSTINGS = Postings(np.empty(0, np.uint16), np.empty(0, np.uint8))


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document to be indexed.

    Parameters:
        created_us, updated_us: microseconds since the epoch.
    """

    id: str
    created_us: int
    updated_us: int
    analysed: Analysed


@dataclass(frozen=True)
class Columns:
    """What a segment knows of its documents, by their numbers.

    Parameters:
        ids: UTF-8 bytes, all padded to the width of the longest.
        lengths: words.
        created, updated: microseconds since the epoch.
    """

    ids: NDArray[np.bytes_]
    lengths: NDArray[np.uint32]
    created: NDArray[np.int64]
    updated: NDArray[np.int64]

    @classmethod
    def unpack(cls, *, ids: bytes, lengths: bytes, times: bytes) -> Columns:
        """Read the columns as `packed` gives them."""
        size = np.frombuffer(lengths, "<u4")
        both = np.frombuffer(times, "<i8").reshape(2, -1)
        return cls(np.frombuffer(ids, f"S{len(ids) // len(size)}"), size, both[0], both[1])

    def packed(self) -> dict[str, bytes]:
        """The columns as bytes."""
        times = np.concatenate([self.created, self.updated]).astype("<i8")
        return {
            "ids": self.ids.tobytes(),
            "lengths": self.lengths.astype("<u4").tobytes(),
            "times": times.tobytes(),
        }

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each id."""
        return {identity.decode(): number for number, identity in enumerate(self.ids.tolist())}


@dataclass(frozen=True, slots=True)
class Segment:
    """A new segment.

    Parameters:
        blocks: first term and bytes of each, ascending; the first one's term is the empty text.
    """

    columns: Columns
    blocks: list[tuple[str, bytes]]

    @property
    def documents(self) -> int:
        return len(self.columns.lengths)


class Block:
    """A block, read.

    Parameters:
        data: as a segment's `blocks` has it.
    """

    def __init__(self, data: bytes) -> None:
        count, text_size = _HEADER.unpack_from(data)
        self.counts = np.frombuffer(data, "<u4", count, _HEADER.size)
        total = int(self.counts.sum())
        start = _HEADER.size + 4 * count
        self.documents = np.frombuffer(data, "<u2", total, start)
        self.frequencies = np.frombuffer(data, "<u1", total, start + 2 * total)
        text = data[len(data) - text_size :].decode()
        self.terms = text.split("\n") if text else []

    def find(self, term: str) -> Postings:
        """The postings of a term; none when it is not here."""
        at = bisect.bisect_left(self.terms, term)
        if at == len(self.terms) or self.terms[at] != term:
            return NO_POSTINGS
        return self._postings(at)

    def starting_with(self, prefix: str) -> list[tuple[str, Postings]]:
        """The terms that start with a text, with their postings."""
        found = []
        for at in range(bisect.bisect_left(self.terms, prefix), len(self.terms)):
            if not self.terms[at].startswith(prefix):
                break
            found.append((self.terms[at], self._postings(at)))
        return found

    def _postings(self, at: int) -> Postings:
        start = int(self.counts[:at].sum())
        end = start + int(self.counts[at])
        # Copies, so that whoever keeps a small list does not keep the whole block.
        return Postings(self.documents[start:end].copy(), self.frequencies[start:end].copy())


def build(documents: Sequence[NewDocument]) -> Segment:
    """Index some documents, at most `MAX_DOCUMENTS`."""
    vocabulary: dict[str, int] = {}
    terms: list[int] = []
    frequencies: list[int] = []
    sizes = []
    for document in documents:
        found = document.analysed.frequencies
        terms += [vocabulary.setdefault(term, len(vocabulary)) for term in found]
        frequencies += found.values()
        sizes.append(len(found))
    columns = Columns(
        ids=np.array([document.id.encode() for document in documents], np.bytes_),
        lengths=np.array([document.analysed.length for document in documents], np.uint32),
        created=np.array([document.created_us for document in documents], np.int64),
        updated=np.array([document.updated_us for document in documents], np.int64),
    )
    blocks = _blocks(
        vocabulary,
        terms=np.array(terms, np.int64),
        documents=np.repeat(np.arange(len(documents), dtype=np.uint16), sizes),
        frequencies=np.minimum(np.array(frequencies, np.int64), MAX_FREQUENCY).astype(np.uint8),
    )
    return Segment(columns, blocks)


@dataclass(frozen=True, slots=True)
class MergePart:
    """A segment that is to become part of another.

    Parameters:
        deleted: numbers of its documents that are left out.
        blocks: all of its blocks.
    """

    columns: Columns
    deleted: Numbers
    blocks: Iterable[bytes]


def merge(parts: Sequence[MergePart]) -> Segment:
    """Make one segment of several; at least one document must be left."""
    vocabulary: dict[str, int] = {}
    kept = [np.ones(len(part.columns.lengths), np.bool_) for part in parts]
    terms: list[NDArray[np.int64]] = []
    documents: list[Numbers] = []
    frequencies: list[Frequencies] = []
    base = 0
    for part, alive in zip(parts, kept, strict=True):
        alive[part.deleted] = False
        renumbered = (np.cumsum(alive) - 1 + base).astype(np.uint16)
        for data in part.blocks:
            block = Block(data)
            stays = alive[block.documents]
            ids = np.array([vocabulary.setdefault(term, len(vocabulary)) for term in block.terms], np.int64)
            terms.append(np.repeat(ids, block.counts)[stays])
            documents.append(renumbered[block.documents[stays]])
            frequencies.append(block.frequencies[stays])
        base += int(alive.sum())
    columns = _join([part.columns for part in parts], kept)
    return Segment(
        columns,
        _blocks(
            vocabulary,
            terms=np.concatenate(terms),
            documents=np.concatenate(documents),
            frequencies=np.concatenate(frequencies),
        ),
    )


def _join(columns: Sequence[Columns], kept: Sequence[NDArray[np.bool_]]) -> Columns:
    def joined(name: str) -> NDArray[Any]:
        chosen = [getattr(found, name)[alive] for found, alive in zip(columns, kept, strict=True)]
        return np.concatenate(chosen)

    return Columns(joined("ids"), joined("lengths"), joined("created"), joined("updated"))


def _blocks(
    vocabulary: dict[str, int],
    *,
    terms: NDArray[np.int64],
    documents: Numbers,
    frequencies: Frequencies,
) -> list[tuple[str, bytes]]:
    """Sort postings by term and cut them into blocks. Those of one term must be in the order of documents."""
    names = sorted(vocabulary)
    ranks = np.empty(len(names), np.int64)
    ranks[[vocabulary[name] for name in names]] = np.arange(len(names))
    keys = ranks[terms]
    order = np.argsort(keys, kind="stable")
    documents, frequencies = documents[order], frequencies[order]
    counts = np.bincount(keys, minlength=len(names))
    ends = np.concatenate([[0], np.cumsum(counts)])
    blocks: list[tuple[str, bytes]] = []
    for first, last in _cuts(names, counts.tolist()):
        low, high = int(ends[first]), int(ends[last])
        text = "\n".join(names[first:last]).encode()
        data = b"".join(
            (
                _HEADER.pack(last - first, len(text)),
                counts[first:last].astype("<u4").tobytes(),
                documents[low:high].astype("<u2").tobytes(),
                frequencies[low:high].tobytes(),
                text,
            )
        )
        blocks.append((names[first] if blocks else "", data))
    return blocks or [("", _HEADER.pack(0, 0))]


def _cuts(names: Sequence[str], counts: Sequence[int]) -> list[tuple[int, int]]:
    """Where blocks begin and end, as positions in the sorted terms. Terms without a document left go along."""
    cuts: list[tuple[int, int]] = []
    first = size = 0
    for at, (name, count) in enumerate(zip(names, counts, strict=True)):
        needed = _POSTING_BYTES * count + len(name) + 5
        if size and size + needed > BLOCK_BYTES:
            cuts.append((first, at))
            first, size = at, 0
        size += needed
    if names:
        cuts.append((first, len(names)))
    return cuts
