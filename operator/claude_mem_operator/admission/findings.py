"""What is wrong with the environments that a resource's processes would get, by JSON path.

The rules are the runtime's own, asked as a container asks them; here they are brought back to the fields that
the values come from. Two things are added that a process cannot know: which variables the operator needs for
itself, and that a password must not stand in the resource.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from claude_mem.environment import Role, check
from claude_mem.environment.catalogue import service
from claude_mem_operator.desired.environment import component_environments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claude_mem.environment import Problem
    from claude_mem_operator.api import ClaudeMemServer, EnvVar
    from claude_mem_operator.desired.environment import EnvironmentOf

#: Variables that pods and Services are built around.
OWNED: Final[dict[Role, tuple[str, ...]]] = {
    Role.SERVER: (service.SERVER_HOST.name, service.SERVER_PORT.name, service.DATA_DIR.name),
    Role.WORKER: (service.DATA_DIR.name,),
}
OWNED_MESSAGE: Final = (
    "is the operator's: pods, probes and Services are built around it; remove the variable."
)

#: Variables with a URL in which a password may stand.
STORE_URLS: Final = (service.DATABASE_URL.name, service.REDIS_URL.name)
#: A password in a URL that is not `$(NAME)`, the value of another variable. Go's regular expressions know it too.
PASSWORD_IN_URL: Final = r"://[^:/?#@]*:([^$@]|[$][^(])[^/?#]*@"  # noqa: S105 - finds passwords, is none
IN_THE_OPEN: Final = (
    "holds a password, which everybody who may read the resource could read; put the URL into a Secret and "
    "name that in spec.postgres.external or spec.valkey.external, or in valueFrom.secretKeyRef."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or doubtful, with one variable of one component.

    `value` is fit to be shown. Findings of the old and the new resource are the same when their `identity` is:
    a path would change with every variable that is put before.
    """

    role: Role
    rule: str
    variable: str
    path: str
    value: str | None
    message: str

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it the same problem in another version of the resource."""
        return self.role, self.rule, self.variable, self.value or "", self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What keeps processes from starting as they should, and what they would warn of."""

    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


def find(resource: ClaudeMemServer, operator_environment: Mapping[str, str]) -> Findings:
    """Everything about the environments of the server and the workers, errors in the order of the rules."""
    errors: list[Finding] = []
    warnings: list[Finding] = []
    for role, environment in component_environments(resource, operator_environment).items():
        verdict = check(environment.values, role=role, container=True, opaque=environment.opaque)
        errors += _written(resource, role)
        errors += (_finding(problem, role, environment) for problem in verdict.errors)
        warnings += (_finding(problem, role, environment) for problem in verdict.warnings)
    return Findings(errors=tuple(errors), warnings=tuple(warnings))


def given_to(resource: ClaudeMemServer, role: Role) -> tuple[EnvVar, ...]:
    """The variables that the resource itself gives a component."""
    return resource.spec.server.env if role is Role.SERVER else resource.spec.worker.env


def holds_password(value: str) -> bool:
    """Whether a URL with a password stands in `value`."""
    return re.search(PASSWORD_IN_URL, value) is not None


def _written(resource: ClaudeMemServer, role: Role) -> Iterator[Finding]:
    for index, variable in enumerate(given_to(resource, role)):
        path = f"spec.{role}.env[{index}]"
        if variable.name in OWNED[role]:
            yield _own_finding(role, variable.name, path=f"{path}.name", rule="owned", message=OWNED_MESSAGE)
        if variable.name in STORE_URLS and holds_password(variable.value or ""):
            yield _own_finding(
                role, variable.name, path=f"{path}.value", rule="password", message=IN_THE_OPEN
            )


def _own_finding(role: Role, variable: str, *, path: str, rule: str, message: str) -> Finding:
    return Finding(
        role=role, rule=rule, variable=variable, path=path, value=None, message=f"{variable} {message}"
    )


def _finding(problem: Problem, role: Role, environment: EnvironmentOf) -> Finding:
    path = environment.paths.get(problem.variable)
    by_operator = path is None and problem.variable in environment.values
    whose = " (The operator was given it for all resources.)" if by_operator else ""
    return Finding(
        role=role,
        rule=problem.rule,
        variable=problem.variable,
        path=path or f"spec.{role}.env",
        value=problem.value,
        message=f"{problem}{whose}",
    )
