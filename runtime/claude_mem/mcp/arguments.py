"""What an agent gives a tool: read leniently where claude-mem 13 is, refused in words that a model can act on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from claude_mem.model.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Characters of a short text, such as an id or a kind; the content of a memory has no limit but the body's.
MAX_SHORT = 1024


class Arguments:
    """The arguments of one call."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def has(self, name: str) -> bool:
        """Whether there is an argument of this name that is not null."""
        return self._given.get(name) is not None

    def says(self, name: str) -> bool:
        """Whether there is a text of this name that says something."""
        value = self._given.get(name)
        return isinstance(value, str) and bool(value.strip())

    def text(self, name: str) -> str:
        """A text that has to be there and say something.

        Raises: InvalidInput.
        """
        value = self._given.get(name)
        if not isinstance(value, str) or not value.strip():
            raise InvalidInput(f'"{name}" is required')
        if "\0" in value:
            raise InvalidInput(f'"{name}" holds the character U+0000, which cannot be stored; take it out')
        return value

    def short_text(self, name: str) -> str | None:
        """A text that may be missing, of at most `MAX_SHORT` characters.

        Raises: InvalidInput.
        """
        if not self.has(name):
            return None
        value = self.text(name)
        if len(value) > MAX_SHORT:
            raise InvalidInput(f'"{name}" is longer than {MAX_SHORT} characters')
        return value

    def flag(self, name: str) -> bool:
        """Whether the argument is true; anything else counts as false."""
        return self._given.get(name) is True

    def members(self, name: str) -> dict[str, Any]:
        """An object; an empty one where it is missing.

        Raises: InvalidInput.
        """
        value = self._given.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InvalidInput(f'"{name}" must be an object')
        if _holds_nul(value):
            raise InvalidInput(f'"{name}" holds the character U+0000, which cannot be stored; take it out')
        return value

    def integer(self, name: str, *, default: int, least: int, most: int) -> int:
        """A number cut to an integer and moved into its bounds; anything that is no number is the default."""
        value = self._given.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return default
        return max(least, min(int(value), most))

    def optional_integer(self, name: str, *, least: int, most: int) -> int | None:
        """As `integer`; None where there is no number."""
        found = self.integer(name, default=least - 1, least=least, most=most)
        return None if found < least else found


def _holds_nul(value: Any) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str) and "\0" in item:
            return True
        if isinstance(item, dict):
            pending.extend(item)
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return False
