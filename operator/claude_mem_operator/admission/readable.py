"""What can still be read of a resource that breaks rules: all of it but the fields that do.

A resource may have been written under earlier rules, or past all of them. Its other fields are judged all the same.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from claude_mem_operator.api import ClaudeMemServer, InvalidResource

if TYPE_CHECKING:
    from collections.abc import Sequence

#: In the place of what a resource cannot be without.
_PROVIDER: Final = {"name": "claude", "apiKeySecretRef": {"name": "unreadable", "key": "unreadable"}}
_STAND_INS: Final[dict[tuple[str | int, ...], Any]] = {
    ("metadata",): {"name": "unreadable"},
    ("metadata", "name"): "unreadable",
    ("spec",): {"provider": _PROVIDER},
    ("spec", "provider"): _PROVIDER,
}
#: More than there are fields within each other: each pass takes away one more level of what is wrong.
_PASSES: Final = 20


def readable(manifest: dict[str, Any]) -> ClaudeMemServer | None:
    """The resource without the fields that break rules, which count as not set; None where nothing can be made of it."""
    left = manifest
    for _ in range(_PASSES):
        try:
            return ClaudeMemServer.parse(left)
        except InvalidResource as invalid:
            if left is manifest:
                left = copy.deepcopy(manifest)
            # From the end, so that positions in lists stay those that were found.
            for problem in reversed(invalid.problems):
                _take_away(left, problem.location)
    return None


def _take_away(manifest: dict[str, Any], location: Sequence[str | int]) -> None:
    """Remove what is at the location, or the last thing on the way to it that is there; put in what must be there."""
    target: Any = manifest
    last: tuple[Any, str | int] | None = None
    for depth, part in enumerate(location, start=1):
        if not _has(target, part):
            stand_in = _STAND_INS.get(tuple(location[:depth]))
            if stand_in is not None and isinstance(target, dict):
                target[part] = copy.deepcopy(stand_in)
                return
            break
        last, target = (target, part), target[part]
    if last is None:
        return
    container, part = last
    if isinstance(container, list) and "env" in location:
        container[int(part)] = {"name": f"UNREADABLE_{part}"}  # findings tell variables by their positions
    else:
        del container[part]


def _has(target: Any, part: str | int) -> bool:
    if isinstance(target, dict):
        return part in target
    return isinstance(target, list) and isinstance(part, int) and part < len(target)
