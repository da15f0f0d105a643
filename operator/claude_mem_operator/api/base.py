"""What every model of the resource has in common: its spelling, its strictness, its rules, its JSON.

Descriptions stand under their fields as docstrings, from where pydantic takes them into the schema; they are
what `kubectl explain` shows.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from claude_mem_operator.api.rules import Rule, Transition

RULE_BROKEN = "rule_broken"


class Model(BaseModel):
    """A part of the resource: frozen, without unknown fields, in camel case outside."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    transitions: ClassVar[tuple[Transition, ...]] = ()

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        for rule in self.all_rules():
            if not rule.holds(self):
                raise PydanticCustomError(
                    RULE_BROKEN, "{message}", {"message": rule.message, "field": rule.field}
                )
        return self

    @classmethod
    @cache
    def all_rules(cls) -> tuple[Rule, ...]:
        """The rules of the model, those of its bases first."""
        return tuple(rule for base in reversed(cls.__mro__) for rule in vars(base).get("rules", ()))

    @classmethod
    @cache
    def all_transitions(cls) -> tuple[Transition, ...]:
        """The demands on changes of the model, those of its bases first."""
        return tuple(one for base in reversed(cls.__mro__) for one in vars(base).get("transitions", ()))

    def given(self) -> frozenset[str]:
        """The names of the fields that hold something."""
        return frozenset(name for name in type(self).model_fields if getattr(self, name) is not None)

    def manifest(self) -> dict[str, Any]:
        """The part as plain JSON, as a manifest holds it: camel case, without what is not set."""
        return self.model_dump(mode="json", exclude_none=True)
