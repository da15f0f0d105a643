"""The ClaudeMemServer resource: its models, their defaults and rules, and the CRD made from them.

`ClaudeMemServer.parse` reads a manifest. What children a resource gets is left to `desired`, what its
environment may hold to `admission`.
"""

from __future__ import annotations

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.components import HttpRoute, Ingress
from claude_mem_operator.api.errors import FieldProblem, InvalidResource
from claude_mem_operator.api.pods import PodDisruptionBudget, ReplicatedScheduling, Resources, Scheduling
from claude_mem_operator.api.quantities import quantity
from claude_mem_operator.api.references import EnvVar, SecretKeyRef
from claude_mem_operator.api.resource import (
    API_VERSION,
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    ClaudeMemServer,
    Metadata,
)
from claude_mem_operator.api.spec import ClaudeMemServerSpec
from claude_mem_operator.api.status import ClaudeMemServerStatus, ConditionType
from claude_mem_operator.api.stores import ManagedPostgres, ManagedStore, ManagedValkey

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "PLURAL",
    "VERSION",
    "ClaudeMemServer",
    "ClaudeMemServerSpec",
    "ClaudeMemServerStatus",
    "ConditionType",
    "EnvVar",
    "FieldProblem",
    "HttpRoute",
    "Ingress",
    "InvalidResource",
    "ManagedPostgres",
    "ManagedStore",
    "ManagedValkey",
    "Metadata",
    "Model",
    "PodDisruptionBudget",
    "ReplicatedScheduling",
    "Resources",
    "Scheduling",
    "SecretKeyRef",
    "quantity",
]
