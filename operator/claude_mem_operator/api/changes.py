"""Which changes of a resource are forbidden: the models' transitions, asked wherever old and new both have a part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.errors import FieldProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from claude_mem_operator.api.resource import ClaudeMemServer


def forbidden_changes(new: ClaudeMemServer, old: ClaudeMemServer) -> tuple[FieldProblem, ...]:
    """What `new` must not differ in from `old`, but does; the CRD's transition rules say the same in CEL."""
    return tuple(_forbidden(new.spec, old.spec, path="spec"))


def _forbidden(new: Model, old: Model, *, path: str) -> Iterator[FieldProblem]:
    for demand in new.all_transitions():
        if not demand.holds(new, old):
            yield FieldProblem(path=path + demand.field, message=demand.message)
    for name, field in type(new).model_fields.items():
        pair = getattr(new, name), getattr(old, name)
        if isinstance(pair[0], Model) and isinstance(pair[1], Model):
            yield from _forbidden(*pair, path=f"{path}.{field.alias}")
