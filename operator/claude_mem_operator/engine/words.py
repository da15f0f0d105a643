"""What conditions say to people in more than one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How much of a list a message names.
_NAMED: Final = 5


def named(lines: Sequence[str]) -> str:
    """The first few of them in one line, and how many more there are."""
    more = len(lines) - _NAMED
    return "; ".join(lines[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def migration_failure(name: str) -> str:
    """What to do about a migration that failed."""
    return (
        f"Job {name} failed; read `kubectl logs job/{name} --all-containers`, then change the resource, or have it "
        "tried again with `kubectl annotate --overwrite cms NAME claude-mem.dev/retry=$(date +%s)`"
    )
