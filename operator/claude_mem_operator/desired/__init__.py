"""What a resource's children look like: pure functions from a resource and what it refers to, to manifests in stages.

Nothing here reads or writes anything; the same inputs give the same manifests, byte for byte. Which objects exist, and
what is done about a difference, is left to `engine`.
"""

from __future__ import annotations

from claude_mem_operator.desired.credentials import endpoint, random_secret
from claude_mem_operator.desired.digests import content_digest, value_digest
from claude_mem_operator.desired.environment import EnvironmentOf, component_environments
from claude_mem_operator.desired.stages import desired, unserved
from claude_mem_operator.desired.types import (
    EXTERNAL_METRICS,
    HTTP_ROUTE,
    PROMETHEUS_RULE,
    SERVICE_MONITOR,
    Claim,
    Defaults,
    Gate,
    GateKind,
    Identities,
    Inputs,
    Manifest,
    Scale,
    SecretKind,
    Stage,
)

__all__ = [
    "EXTERNAL_METRICS",
    "HTTP_ROUTE",
    "PROMETHEUS_RULE",
    "SERVICE_MONITOR",
    "Claim",
    "Defaults",
    "EnvironmentOf",
    "Gate",
    "GateKind",
    "Identities",
    "Inputs",
    "Manifest",
    "Scale",
    "SecretKind",
    "Stage",
    "component_environments",
    "content_digest",
    "desired",
    "endpoint",
    "random_secret",
    "unserved",
    "value_digest",
]
