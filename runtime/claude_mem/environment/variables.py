"""What a variable is: one declaration with its name, unit, default and reason, and how its text is read.

Leaves the kinds of values to `kinds` and `numeric`, and the declarations to `catalogue`. The generated
reference, the warnings about values that mean nothing, and the settings all come from these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from claude_mem.environment.values import text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable(Generic[T]):
    """One environment variable.

    `alternatives` are further names, read in order after `name`; the first non-empty one counts. `parse`
    raises ValueError for a text that is not what `expects` says; such a text counts as unset, with a warning,
    unless a rule of its own judges it (`judged`). The text of a `sensitive` one is never shown as it stands.
    """

    name: str
    group: str
    meaning: str
    expects: str
    parse: Callable[[str], T]
    default: Callable[[Mapping[str, str]], T]
    default_text: str
    unit: str = ""
    alternatives: tuple[str, ...] = ()
    judged: bool = False
    sensitive: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which it is read, the preferred one first."""
        return (self.name, *self.alternatives)

    def given(self, environ: Mapping[str, str]) -> tuple[str, str] | None:
        """Name and trimmed text of the first non-empty of its names, or None."""
        for name in self.names:
            value = text(environ, name)
            if value is not None:
                return name, value
        return None

    def read(self, environ: Mapping[str, str]) -> T:
        """Its value in `environ`; the default where it is unset, blank or meaningless."""
        given = self.given(environ)
        if given is not None:
            try:
                return self.parse(given[1])
            except ValueError:
                pass
        return self.default(environ)

    def meaningless(self, environ: Mapping[str, str]) -> tuple[str, str] | None:
        """Name and text of a value that means nothing, so that the default is used instead; else None."""
        given = self.given(environ)
        if given is None:
            return None
        try:
            self.parse(given[1])
        except ValueError:
            return given
        return None


def always(value: T) -> Callable[[Mapping[str, str]], T]:
    """A default that does not depend on the environment."""
    return lambda _environ: value
