"""One row of the table of environment rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from claude_mem.environment.catalogue import VARIABLES
from claude_mem.environment.values import redacted_url, shown
from claude_mem.environment.verdict import Mode, Problem, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from claude_mem.environment.facts import Facts

BOTH: Final = frozenset(Role)
SERVER: Final = frozenset({Role.SERVER})
WORKER: Final = frozenset({Role.WORKER})

_SENSITIVE: Final = frozenset(name for variable in VARIABLES if variable.sensitive for name in variable.names)


class Where(StrEnum):
    """Where a rule holds; `deployable` is everything but local development, containers included."""

    ANY = "any"
    CONTAINER = "container"
    DEPLOYABLE = "deployable"


class Severity(StrEnum):
    """Whether a problem keeps the process from starting."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A demand on the environment.

    `breach` answers None where the demand is met, else the words that `message` and `remedy` name in braces
    beside `variable` and `value`; among them may be another `variable` than the rule's own. `demand` is the
    row's text in the reference.
    """

    id: str
    variable: str
    roles: frozenset[Role]
    where: Where
    severity: Severity
    demand: str
    breach: Callable[[Facts], Mapping[str, str] | None]
    message: str
    remedy: str

    def ask(self, facts: Facts) -> Problem | None:
        """The problem that `facts` have with this rule, if it applies to them and they do not meet it."""
        if facts.role not in self.roles or not self._applies(facts):
            return None
        found = self.breach(facts)
        if found is None:
            return None
        variable = found.get("variable", self.variable)
        if variable in facts.opaque:
            return None
        value = _presentable(variable, facts.text(variable))
        words = {"value": value or "", **found, "variable": variable}
        return Problem(
            rule=self.id,
            variable=variable,
            value=value,
            message=self.message.format_map(words),
            remedy=self.remedy.format_map(words),
        )

    def _applies(self, facts: Facts) -> bool:
        match self.where:
            case Where.ANY:
                return True
            case Where.CONTAINER:
                return facts.container
            case Where.DEPLOYABLE:
                return facts.mode is Mode.DEPLOYABLE


def _presentable(variable: str, value: str | None) -> str | None:
    if value is None:
        return None
    return redacted_url(value) if variable in _SENSITIVE else shown(value)
