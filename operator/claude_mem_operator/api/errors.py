"""What is wrong with a resource, by JSON path, in words for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from claude_mem.environment.values import shown
from claude_mem_operator.api.base import RULE_BROKEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError

_WORDS = {
    "missing": "is required",
    "extra_forbidden": "is no field of the resource; remove it, or look its name up with kubectl explain",
    "literal_error": "must be {expected}",
    "string_type": "must be a string",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number of a sensible size",
    "bool_type": "must be true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    RULE_BROKEN: "{message}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProblem:
    """One thing that is wrong.

    `path` is the JSON path of the field, such as `spec.server.env[2].value`. `value` is what stands there, fit
    to be shown, or None. `location` is the path in parts, where it is known.
    """

    path: str
    message: str
    value: str | None = None
    location: tuple[str | int, ...] = field(default=(), compare=False, repr=False)

    def __str__(self) -> str:
        found = "" if self.value is None else f" (it is {self.value})"
        return f"{self.path}: {self.message}{found}"


class InvalidResource(Exception):
    """Raised when an object is no valid ClaudeMemServer; `problems` says by path what is wrong."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)

    @classmethod
    def of(cls, error: ValidationError) -> InvalidResource:
        """What pydantic found, in our words."""
        return cls([_problem(one) for one in error.errors(include_url=False)])


def json_path(parts: Iterable[str | int]) -> str:
    """The JSON path of `parts`: names between dots, positions and names with dots of their own in brackets."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.replace("-", "").replace("_", "").isalnum():
            path += f".{part}" if path else part
        else:
            path += f"['{part}']"
    return path


def _problem(error: Any) -> FieldProblem:
    words = error.get("ctx", {})
    location = tuple(part for part in error["loc"] if part != "[key]")
    template = _WORDS.get(error["type"])
    found = error["input"]
    message = (
        (error["msg"][:1].lower() + error["msg"][1:]) if template is None else template.format_map(words)
    )
    presentable = isinstance(found, str | int | float) and error["type"] not in {"missing", "extra_forbidden"}
    if "env" in location:  # what was meant to be a variable's value may be a secret
        presentable = False
    below = words.get("field", "")
    return FieldProblem(
        path=json_path(location) + below,
        message=message,
        value=_presentable(found) if presentable else None,
        location=(*location, *filter(None, below.split("."))),
    )


def _presentable(value: str | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(shown(value)) if isinstance(value, str) else str(value)
