"""The environment rules, checked at start-up, by `claude-mem server check-env` and by the admission webhook.

`RULES` is the one table, in the order in which problems are told: errors, then warnings. Its rows stand in
`errors` and `cautions`, what breaks them in `breaches`, what an environment resolves to in `facts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.environment.catalogue import service
from claude_mem.environment.cautions import CAUTIONS
from claude_mem.environment.errors import ERRORS
from claude_mem.environment.facts import Facts
from claude_mem.environment.values import shown
from claude_mem.environment.verdict import Problem, Role, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from claude_mem.environment.rule import Rule

RULES: Final[tuple[Rule, ...]] = (*ERRORS, *CAUTIONS)


def check(
    environ: Mapping[str, str],
    *,
    role: Role,
    container: bool,
    opaque: Collection[str] = (),
) -> Verdict:
    """Ask every rule that holds for `role`, in a container or not; collect all problems in the fixed order.

    A missing, empty or blank value is the same everywhere. `opaque` names variables that are set where the
    caller cannot look, as a pod's are from a Secret: they count as set, and nothing is said about their
    values. A warning about a variable that an error is about already is left out.
    """
    facts = Facts(environ=environ, role=role, container=container, opaque=frozenset(opaque))
    errors = _problems(ERRORS, facts)
    refused = {problem.variable for problem in errors}
    warnings = tuple(problem for problem in _problems(CAUTIONS, facts) if problem.variable not in refused)
    return Verdict(
        role=role,
        container=container,
        mode=facts.mode,
        errors=errors,
        warnings=warnings,
        runtime=shown(facts.runtime),
        auth_mode=facts.auth_mode,
        queue_engine=facts.queue_engine,
        provider=facts.provider,
        has_database=facts.has(service.DATABASE_URL),
        has_redis=facts.has(service.REDIS_URL),
        generation_disabled=facts.generation_disabled,
    )


def _problems(rules: Iterable[Rule], facts: Facts) -> tuple[Problem, ...]:
    return tuple(problem for rule in rules if (problem := rule.ask(facts)) is not None)
