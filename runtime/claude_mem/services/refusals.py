"""What a caller is told when the database refuses something."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from claude_mem.model.errors import ClaudeMemError, Forbidden, InvalidInput, Unavailable
from claude_mem.storage.database import ReferenceViolation, StorageError, ValueRefused

if TYPE_CHECKING:
    from collections.abc import Iterator


def refusal(error: StorageError) -> ClaudeMemError:
    """The answer for an error of the storage; the database's own words stay inside."""
    if isinstance(error, ValueRefused):
        return InvalidInput("a value is too large, or of a form that the database cannot store")
    if isinstance(error, ReferenceViolation):
        return Forbidden("project_id must belong to team_id")
    return Unavailable("the database could not do this now; try again", dependency="database")


@contextmanager
def refuse_storage_errors() -> Iterator[None]:
    """Turn errors of the storage into answers.

    Raises: InvalidInput, Forbidden, Unavailable.
    """
    try:
        yield
    except StorageError as error:
        raise refusal(error) from error
