"""Fields that belong to everything that is logged while something is done: the request's id, the jobs' ids.

They follow the task, and the tasks that it starts.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FIELDS: ContextVar[Mapping[str, Any]] = ContextVar("log_fields", default=MappingProxyType({}))


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Have log lines say these, besides what is bound already, for as long as the block lasts.

    Parameters:
        fields: ids only, never what a client wrote; those that are None are left out.
    """
    token = _FIELDS.set(
        {**_FIELDS.get(), **{name: value for name, value in fields.items() if value is not None}}
    )
    try:
        yield
    finally:
        _FIELDS.reset(token)


def fields() -> Mapping[str, Any]:
    """What is bound here and now."""
    return _FIELDS.get()
