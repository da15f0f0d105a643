"""The ValidatingAdmissionPolicy: what of the environment rules CEL can judge, for when the operator is down.

It looks at variables that stand literally in a resource. What they refer to, and what the whole environment
amounts to, only the webhook knows. Messages are those of the runtime's own table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from claude_mem.environment import RULES, Role
from claude_mem.environment.catalogue import generation, service, tenancy
from claude_mem.environment.facts import ENGINES, RUNTIMES
from claude_mem.environment.naming import ALIASES
from claude_mem.environment.providers import OFFLINE, PROVIDERS
from claude_mem.environment.verdict import QueueEngine
from claude_mem_operator.admission.findings import (
    IN_THE_OPEN,
    OWNED,
    OWNED_MESSAGE,
    PASSWORD_IN_URL,
    STORE_URLS,
)
from claude_mem_operator.api import GROUP, PLURAL, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOTH: Final = tuple(Role)
_TEXT: Final = "e.value.trim().lowerAscii()"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Demand:
    """A demand on one literal variable `e`, as CEL that holds where all is well."""

    variable: str
    roles: tuple[Role, ...]
    cel: str
    message: str


def policy_spec() -> dict[str, Any]:
    """The policy's `spec`, which the chart puts under a name of its own.

    A change that leaves the resource's spec as it is, and a deletion, never meet it.
    """
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [GROUP],
                    "apiVersions": [VERSION],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": [PLURAL],
                }
            ]
        },
        "matchConditions": [
            {"name": "not-being-deleted", "expression": "!has(object.metadata.deletionTimestamp)"},
            {"name": "spec-changed", "expression": "oldObject == null || object.spec != oldObject.spec"},
        ],
        "variables": [variable for role in Role for variable in _variables(role)],
        "validations": [_validation(demand, role) for demand in _demands() for role in demand.roles],
    }


def _variables(role: Role) -> Iterator[dict[str, str]]:
    """The variables of a component that were not there, or not so, before: what was, may stay."""
    now, before = (
        f"has({whose}.spec.{role}) && has({whose}.spec.{role}.env) ? {whose}.spec.{role}.env : []"
        for whose in ("object", "oldObject")
    )
    yield {"name": f"{role}Before", "expression": f"oldObject == null ? [] : ({before})"}
    yield {"name": f"{role}New", "expression": f"({now}).filter(e, !(e in variables.{role}Before))"}


def _validation(demand: _Demand, role: Role) -> dict[str, str]:
    return {
        "expression": f"variables.{role}New.all(e, e.name != '{demand.variable}' || {demand.cel})",
        "message": f"spec.{role}.env: {demand.message}",
        "reason": "Invalid",
    }


def _demands() -> Iterator[_Demand]:
    yield _literal("runtime", service.RUNTIME.name, f"e.value.trim() in {_list((*RUNTIMES, ''))}")
    yield _literal("auth-mode", tenancy.AUTH_MODE.name, f"{_TEXT} != 'local-dev'")
    bypass = tenancy.ALLOW_LOCAL_DEV_BYPASS.name
    yield _literal("local-dev-bypass", bypass, f"!({_TEXT} in ['1', 'true'])")
    engines = [name for name, engine in ENGINES.items() if engine is QueueEngine.DRAMATIQ]
    yield _literal("queue-engine-in-process", service.QUEUE_ENGINE.name, f"{_TEXT} in {_list(engines)}")
    disabled = generation.GENERATION_DISABLED.name
    yield _literal("generation-disabled", disabled, f"{_TEXT} in ['1', 'true']", (Role.SERVER,))
    yield _literal("provider-offline", generation.PROVIDER.name, f"{_TEXT} != '{OFFLINE}'")
    providers = [*PROVIDERS, *ALIASES, OFFLINE]
    yield _literal("provider", generation.PROVIDER.name, f"{_TEXT} in {_list(providers)}", (Role.WORKER,))
    for name in STORE_URLS:
        password = f"!has(e.value) || !e.value.matches(r'{PASSWORD_IN_URL}')"
        yield _Demand(variable=name, roles=_BOTH, cel=password, message=f"{name} {IN_THE_OPEN}")
    for role, names in OWNED.items():
        for name in names:
            yield _Demand(variable=name, roles=(role,), cel="false", message=f"{name} {OWNED_MESSAGE}")


def _literal(rule: str, variable: str, cel: str, roles: tuple[Role, ...] = _BOTH) -> _Demand:
    """A rule of the runtime's table, asked of a value that stands in the resource and refers to no other."""
    row = next(one for one in RULES if one.id == rule)
    words = {"variable": variable, "value": "…", "state": "it says something else"}
    told = f"{row.message.format_map(words)} {row.remedy.format_map(words)}"
    return _Demand(
        variable=variable, roles=roles, cel=f"!has(e.value) || e.value.contains('$(') || {cel}", message=told
    )


def _list(words: tuple[str, ...] | list[str]) -> str:
    return "[" + ", ".join(f"'{word}'" for word in words) + "]"
