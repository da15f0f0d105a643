"""Uploads that are kept until they are whole: all or nothing, and trying, read them from the start again.

What a process keeps for all of them together is bounded, and some of the disk is left to others. A kept upload is a file
without a name, so it is gone when its reader is, however that ends: by an error, a client that went away, or `kill -9`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from claude_mem.model.errors import PayloadTooLarge, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import IO

#: Bytes of an upload that stay in memory; beyond, it is written to the directory of temporary files.
_IN_MEMORY: Final = 8 * 1024 * 1024

#: What stays free of the disk: a tenth of it, and no more bytes than these.
_LEFT_FREE: Final = 256 * 1024 * 1024

_PIECE: Final = 1024 * 1024

_WAY_OUT: Final = (
    "leave `strict` and `dryRun` out, for then nothing is kept and the length is free; or run `claude-mem server import` "
    "beside the server; or have CLAUDE_MEM_IMPORT_SPOOL_BYTES raised"
)


class SpoolRoom:
    """What the uploads that are kept may take in this process.

    Parameters:
        limit_bytes: of all together; None is no bound.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self._limit = limit_bytes
        self.used = 0

    def expect(self, size: int | None) -> None:
        """Refuse an upload that says beforehand that it is too long.

        Raises: PayloadTooLarge.
        """
        if self._limit is not None and size is not None and size > self._limit:
            raise PayloadTooLarge(f"an import that is kept whole may have {self._limit} bytes: {_WAY_OUT}")

    def take(self, size: int, *, held: int) -> None:
        """Count further bytes of an upload that holds some already.

        Raises: PayloadTooLarge, Unavailable when others have what is left.
        """
        self.expect(held + size)
        if self._limit is not None and self.used + size > self._limit:
            raise Unavailable(
                f"other imports hold the {self._limit} bytes that may be kept; send it again in a while",
                dependency="disk",
            )
        self.used += size

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        """A place for one upload, which is gone afterwards."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            spool = Spool(self, file)
            try:
                yield spool
            finally:
                self.used -= spool.size


class Spool:
    """One upload that is kept."""

    def __init__(self, room: SpoolRoom, file: IO[bytes]) -> None:
        self._room = room
        self._file = file
        self.size = 0

    async def keep(self, chunks: AsyncIterator[bytes]) -> None:
        """Keep everything that comes.

        Raises: PayloadTooLarge, Unavailable when there is no room in this process or on the disk.
        """
        async for chunk in chunks:
            self._room.take(len(chunk), held=self.size)
            self.size += len(chunk)
            if self.size > _IN_MEMORY:
                _check_disk(len(chunk))
            try:
                await asyncio.to_thread(self._file.write, chunk)
            except OSError as error:
                raise _disk_full() from error

    async def read(self) -> AsyncIterator[bytes]:
        """What was kept, from the start."""
        await asyncio.to_thread(self._file.seek, 0)
        while chunk := await asyncio.to_thread(self._file.read, _PIECE):
            yield chunk


def _check_disk(size: int) -> None:
    """Raises: Unavailable when too little of the disk would be left to others."""
    disk = os.statvfs(tempfile.gettempdir())
    left = disk.f_bavail * disk.f_frsize - size
    if left < min(disk.f_blocks * disk.f_frsize // 10, _LEFT_FREE):
        raise _disk_full()


def _disk_full() -> Unavailable:
    return Unavailable(
        "the server's directory of temporary files is nearly full, so no import can be kept whole; "
        "leave `strict` and `dryRun` out, or have room made there",
        dependency="disk",
    )
