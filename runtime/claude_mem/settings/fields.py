"""How a settings field is tied to the declaration of its variable, and a group filled from an environment."""

from __future__ import annotations

from dataclasses import Field, field, fields
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem.environment.variables import Variable

T = TypeVar("T")

_READ: Final = "read"
_SOURCES: Final = "sources"


def setting(variable: Variable[T]) -> T:
    """A field that is `variable` as it is read; name, unit, default and reason are the variable's own."""
    return field(
        default_factory=lambda: variable.default({}),
        repr=not variable.sensitive,
        metadata={_READ: variable, _SOURCES: (variable,)},
    )


def resolved(default: T, *sources: Variable[Any]) -> T:
    """A field that the builder works out from `sources` and from what the rules found."""
    return field(default=default, metadata={_SOURCES: sources})


def sources(group: type[Any]) -> tuple[Variable[Any], ...]:
    """Every variable that the fields of `group` come from."""
    return tuple(variable for declared in fields(group) for variable in declared.metadata.get(_SOURCES, ()))


def fill(group: type[T], environ: Mapping[str, str], **worked_out: object) -> T:
    """A `group` whose `setting` fields are read from `environ`, and whose others are `worked_out`."""
    declared: tuple[Field[Any], ...] = fields(cast("Any", group))
    read = {one.name: one.metadata[_READ].read(environ) for one in declared if _READ in one.metadata}
    return group(**read, **worked_out)
