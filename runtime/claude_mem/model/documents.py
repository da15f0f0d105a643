"""JSON that is stored and sent on more often than it is looked at.

A document keeps the serialised text and parses it only when somebody asks, so that a payload on its way from the
database to a response is never decoded and encoded again.
"""

from __future__ import annotations

from typing import Any

import orjson


class Document:
    """A JSON value with its serialised text.

    Parameters:
        text: compact JSON.
    """

    __slots__ = ("_value", "text")

    _UNPARSED: Any = object()

    def __init__(self, text: str, value: Any = _UNPARSED) -> None:
        self.text = text
        self._value = value

    @classmethod
    def of(cls, value: Any) -> Document:
        """Serialise a value that `orjson` accepts."""
        return cls(orjson.dumps(value).decode(), value)

    @property
    def value(self) -> Any:
        """The parsed value; shared, so treat it as read-only."""
        if self._value is Document._UNPARSED:
            self._value = orjson.loads(self.text)
        return self._value

    @property
    def members(self) -> dict[str, Any]:
        """The value when it is a JSON object that can be read, else an empty one.

        Adopted rows may hold what a database takes and the parser does not: numbers beyond a double, deeper nesting.
        """
        try:
            value = self.value
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Document) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Document({len(self.text)} characters)"


EMPTY = Document("{}", {})


def dumps(value: Any) -> bytes:
    """Serialise a response; documents inside it are copied as text.

    Returns: UTF-8 bytes of compact JSON.
    """
    return orjson.dumps(value, default=_embed)


def _embed(value: Any) -> orjson.Fragment:
    if isinstance(value, Document):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is not JSON")
