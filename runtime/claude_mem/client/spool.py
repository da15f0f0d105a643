"""Operations that wait for delivery: one file each, in order, bounded, safe against crashes and concurrency.

An entry is a file `<sequence>-<bytes>.json` in `<data dir>/spool`, mode 0600, flushed to disk before
`append` returns. Its name alone gives order and size, so neither counting nor trimming opens a file. Two
locks, both released by the system when their holder dies: `append.lock` is held for the moment of adding,
`deliver.lock` by the one process that delivers. Whoever fails to get the second may leave: the holder looks
again after letting go.

How an entry is delivered is left to `delivery`. Standard library only, because the hook command imports it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from claude_mem.client.files import PRIVATE_DIRECTORY_MODE, PRIVATE_MODE, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAX_ENTRIES = 10_000
MAX_BYTES = 50 * 1024 * 1024
_SUFFIX = ".json"
_UNFINISHED = "unfinished"


class Entry(NamedTuple):
    """One waiting operation: its file's name, its place in the order, and its size in bytes."""

    name: str
    sequence: int
    size: int

    @property
    def age_seconds(self) -> float:
        """Seconds since it was added; sequences are taken from the clock."""
        return max(0.0, time.time() - self.sequence / 1e9)


class Spool:
    """The waiting operations of one data directory.

    Parameters:
        data_dir: the client's data directory; `spool` is made in it when first needed.
        max_entries: entries kept; beyond it the oldest are dropped.
        max_bytes: the same for the sum of the entries' sizes.
    """

    def __init__(self, data_dir: Path, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self.directory = data_dir / "spool"
        self.max_entries = max_entries
        self.max_bytes = max_bytes

    def append(self, operations: Sequence[dict[str, Any]]) -> int:
        """Add operations behind all others, safely on disk, and return how many old ones had to go.

        Raises:
            OSError: the spool cannot be written.
        """
        self.directory.mkdir(mode=PRIVATE_DIRECTORY_MODE, parents=True, exist_ok=True)
        documents = [json.dumps(operation, separators=(",", ":")).encode() for operation in operations]
        with self._lock("append.lock", blocking=True):
            waiting = self.entries()
            first = max(time.time_ns(), waiting[-1].sequence + 1 if waiting else 0)
            added = []
            for sequence, document in enumerate(documents, first):
                entry = Entry(f"{sequence:020d}-{len(document)}{_SUFFIX}", sequence, len(document))
                self._store(entry.name, document)
                added.append(entry)
            sync_directory(self.directory)
            return self._trim([*waiting, *added])

    def entries(self) -> list[Entry]:
        """The waiting entries, oldest first."""
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            sequence, dash, size = name.removesuffix(_SUFFIX).partition("-")
            if dash and name.endswith(_SUFFIX) and sequence.isdigit() and size.isdigit():
                found.append(Entry(name, int(sequence), int(size)))
        return sorted(found, key=lambda entry: entry.sequence)

    def read(self, entry: Entry) -> dict[str, Any] | None:
        """The operation of an entry; None when it is gone or damaged."""
        try:
            operation = json.loads((self.directory / entry.name).read_bytes())
        except (OSError, ValueError):
            return None
        return operation if isinstance(operation, dict) else None

    def remove(self, entry: Entry) -> None:
        """Forget an entry: delivered, or given up."""
        with contextlib.suppress(FileNotFoundError):
            (self.directory / entry.name).unlink()

    @contextlib.contextmanager
    def delivering(self, *, blocking: bool = False) -> Iterator[bool]:
        """Hold the right to deliver; gives False when another process has it and `blocking` is off."""
        if not self.directory.exists():
            yield False
            return
        with self._lock("deliver.lock", blocking=blocking) as held:
            yield held

    def _store(self, name: str, document: bytes) -> None:
        unfinished = self.directory / _UNFINISHED
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_MODE)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(document)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.rename(self.directory / name)

    def _trim(self, entries: list[Entry]) -> int:
        """Drop the oldest entries beyond the bounds, and return how many."""
        excess_entries = len(entries) - self.max_entries
        excess_bytes = sum(entry.size for entry in entries) - self.max_bytes
        dropped = 0
        for entry in entries:
            if excess_entries <= 0 and excess_bytes <= 0:
                break
            self.remove(entry)
            dropped += 1
            excess_entries -= 1
            excess_bytes -= entry.size
        return dropped

    @contextlib.contextmanager
    def _lock(self, name: str, *, blocking: bool) -> Iterator[bool]:
        descriptor = os.open(self.directory / name, os.O_RDWR | os.O_CREAT, PRIVATE_MODE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)
