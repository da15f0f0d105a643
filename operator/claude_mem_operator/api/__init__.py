"""The ClaudeMemServer resource: its models, their defaults and rules, and the CRD made from them.

`ClaudeMemServer.parse` reads a manifest. What children a resource gets is left to `desired`, what its
environment may hold to `admission`.
"""

from __future__ import annotations

from claude_mem_operator.api.affinity import (
    Affinity,
    Toleration,
    TopologySpreadConstraint,
)
from claude_mem_operator.api.autoscaling import Autoscaling, ScalingBehavior
from claude_mem_operator.api.base import Model
from claude_mem_operator.api.components import (
    Component,
    HttpRoute,
    Ingress,
    Server,
    Service,
    Worker,
)
from claude_mem_operator.api.errors import FieldProblem, InvalidResource
from claude_mem_operator.api.pods import PodDisruptionBudget, ReplicatedScheduling, Resources, Scheduling
from claude_mem_operator.api.provider import (
    Auth,
    Bootstrap,
    Budgets,
    Generation,
    Log,
    Provider,
    ProviderEntry,
)
from claude_mem_operator.api.quantities import quantity
from claude_mem_operator.api.references import EnvVar, EnvVarSource, LocalObjectReference, SecretKeyRef
from claude_mem_operator.api.resource import (
    API_VERSION,
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    ClaudeMemServer,
    Metadata,
)
from claude_mem_operator.api.selectors import LabelSelector, NetworkPolicyPeer
from claude_mem_operator.api.spec import ClaudeMemServerSpec, Monitoring, NetworkPolicy
from claude_mem_operator.api.status import (
    ClaudeMemServerStatus,
    ComponentStatus,
    Condition,
    ConditionType,
    Phase,
    PostgresStatus,
    ValkeyStatus,
    WorkerStatus,
)
from claude_mem_operator.api.stores import (
    ExternalPostgres,
    ExternalValkey,
    ManagedPostgres,
    ManagedStore,
    ManagedValkey,
    Postgres,
    Valkey,
)

__all__ = [
    "API_VERSION",
    "GROUP",
    "KIND",
    "PLURAL",
    "VERSION",
    "Affinity",
    "Auth",
    "Autoscaling",
    "Bootstrap",
    "Budgets",
    "ClaudeMemServer",
    "ClaudeMemServerSpec",
    "ClaudeMemServerStatus",
    "Component",
    "ComponentStatus",
    "Condition",
    "ConditionType",
    "EnvVar",
    "EnvVarSource",
    "ExternalPostgres",
    "ExternalValkey",
    "FieldProblem",
    "Generation",
    "HttpRoute",
    "Ingress",
    "InvalidResource",
    "LabelSelector",
    "LocalObjectReference",
    "Log",
    "ManagedPostgres",
    "ManagedStore",
    "ManagedValkey",
    "Metadata",
    "Model",
    "Monitoring",
    "NetworkPolicy",
    "NetworkPolicyPeer",
    "Phase",
    "PodDisruptionBudget",
    "Postgres",
    "PostgresStatus",
    "Provider",
    "ProviderEntry",
    "ReplicatedScheduling",
    "Resources",
    "ScalingBehavior",
    "Scheduling",
    "SecretKeyRef",
    "Server",
    "Service",
    "Toleration",
    "TopologySpreadConstraint",
    "Valkey",
    "ValkeyStatus",
    "Worker",
    "WorkerStatus",
    "quantity",
]
