"""Whether anybody asks the authorities that a resource names.

A URL in a Secret decides, and admission sees none; here the runtime's own rules are asked once more, with the URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.environment import check
from claude_mem_operator.desired.environment import component_environments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claude_mem_operator.api import ClaudeMemServer
    from claude_mem_operator.desired.environment import EnvironmentOf

RULES: Final = frozenset({"postgres-authorities-unused", "redis-authorities-unused"})


def unasked(
    resource: ClaudeMemServer, operator_environment: Mapping[str, str], urls: Mapping[str, str]
) -> tuple[str, ...]:
    """One sentence for each store, with the field's path before it and no part of a URL in it.

    Parameters:
        urls: of stores, by `Secret/NAME/KEY`.
    """
    told: dict[str, None] = {}
    for role, environment in component_environments(resource, operator_environment).items():
        known = dict(_known(environment, urls))
        verdict = check(
            {**environment.values, **known},
            role=role,
            container=True,
            opaque=environment.opaque - known.keys(),
        )
        for problem in verdict.warnings:
            if problem.rule in RULES:
                path = environment.paths.get(problem.variable, f"spec.{role}.env")
                told[f"{path}: {problem}"] = None
    return tuple(told)


def _known(environment: EnvironmentOf, urls: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for variable in environment.env:
        source = variable.get("valueFrom", {}).get("secretKeyRef")
        reference = source and f"Secret/{source['name']}/{source['key']}"
        if reference in urls:
            yield variable["name"], urls[reference]
