"""The environment rules: what a server or a worker may be started with, and what it amounts to.

Needs pydantic and the standard library only, and imports nothing else of claude_mem, so that the operator and
its admission webhook judge with the very rules that a process judges itself with. The typed settings of a
running server are left to `claude_mem.settings`.
"""

from __future__ import annotations

from claude_mem.environment.containers import ContainerVerdict, detect
from claude_mem.environment.rule import Rule, Severity, Where
from claude_mem.environment.rules import RULES, check
from claude_mem.environment.verdict import (
    AuthMode,
    EnvironmentInvalid,
    Mode,
    Problem,
    QueueEngine,
    Role,
    Verdict,
)

__all__ = [
    "RULES",
    "AuthMode",
    "ContainerVerdict",
    "EnvironmentInvalid",
    "Mode",
    "Problem",
    "QueueEngine",
    "Role",
    "Rule",
    "Severity",
    "Verdict",
    "Where",
    "check",
    "detect",
]
