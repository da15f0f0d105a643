"""What the environment rules answer: the problems found, and what the environment amounts to."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, computed_field
from pydantic.alias_generators import to_camel

INVALID_HEADLINE = "server startup configuration is invalid:"


class Role(StrEnum):
    """Which of the two processes an environment is for."""

    SERVER = "server"
    WORKER = "worker"


class Mode(StrEnum):
    """Whether an environment is one person's machine with nothing set, or anything else."""

    LOCAL_DEVELOPMENT = "local-development"
    DEPLOYABLE = "deployable"


class QueueEngine(StrEnum):
    """What carries jobs: nothing, this process, or Dramatiq on Valkey or Redis."""

    DISABLED = "disabled"
    IN_PROCESS = "in-process"
    DRAMATIQ = "dramatiq"


class AuthMode(StrEnum):
    """How callers are known; `disabled` is a label under which keys are asked for all the same."""

    API_KEY = "api-key"
    LOCAL_DEV = "local-dev"
    DISABLED = "disabled"


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True
    )


class Problem(_Model):
    """One rule that does not hold.

    `value` is what was found, fit to be shown: URLs and keys never appear in it; None where nothing is set.
    """

    rule: str
    variable: str
    value: str | None
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"


class Verdict(_Model):
    """Every problem of one environment for one role, in the order of the rules, and what it resolves to.

    As JSON its keys are in camel case.
    """

    role: Role
    container: bool
    mode: Mode
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    runtime: str
    auth_mode: AuthMode
    queue_engine: QueueEngine
    provider: str | None
    has_database: bool
    has_redis: bool
    generation_disabled: bool

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ok(self) -> bool:
        """Whether a process may start with this environment."""
        return not self.errors

    def render(self) -> str:
        """The one message for people: every error on a line of its own, or that there is none."""
        if self.ok:
            return "server startup configuration is valid"
        return "\n".join((INVALID_HEADLINE, *(f"  - {problem}" for problem in self.errors)))


class EnvironmentInvalid(Exception):
    """Raised when a process may not start with the environment it was given; `verdict` says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.render())
        self.verdict = verdict
