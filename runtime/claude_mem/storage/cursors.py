"""Cursors of listings: opaque to clients, a position in an order of (time, id) to us."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from claude_mem.model.errors import InvalidInput, Issue
from claude_mem.model.times import MAX_EPOCH_MS, MIN_POSTGRES_MS

#: Times that every storage can compare with, in microseconds.
_FIRST_US, _LAST_US = MIN_POSTGRES_MS * 1000, MAX_EPOCH_MS * 1000


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row that was shown.

    Parameters:
        at_us: its time, in microseconds since the epoch.
        id: its id.
    """

    at_us: int
    id: str

    def encode(self) -> str:
        """The text that a client sends back for the next page."""
        return base64.urlsafe_b64encode(f"{self.at_us}:{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str | None) -> Cursor | None:
        """Read a client's cursor; None and the empty text begin at the first row.

        Raises: InvalidInput when it is not one that `encode` made.
        """
        if not text:
            return None
        try:
            padded = text + "=" * (-len(text) % 4)
            at, colon, row_id = (
                base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
            )
            cursor = cls(at_us=int(at), id=row_id)
        except (binascii.Error, ValueError) as error:
            raise _refusal() from error
        if not colon or not row_id or "\0" in row_id or not _FIRST_US <= cursor.at_us <= _LAST_US:
            raise _refusal()
        return cursor


def _refusal() -> InvalidInput:
    message = "cursor is not one that this server gave: leave it out to start from the beginning"
    return InvalidInput(message, (Issue("invalid_format", ("cursor",), message),))
