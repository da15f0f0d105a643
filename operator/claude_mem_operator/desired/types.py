"""What goes into the builders, and what comes out: inputs, manifests in stages, and what opens a stage's gate.

Everything here is a value. Reading the cluster and writing to it are the engine's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from claude_mem_operator.api import ClaudeMemServer, ConditionType

Manifest = dict[str, Any]
"""A Kubernetes object as plain JSON."""

NONE: Final[Mapping[str, Any]] = MappingProxyType({})

SERVICE_MONITOR: Final = "monitoring.coreos.com/v1/ServiceMonitor"
PROMETHEUS_RULE: Final = "monitoring.coreos.com/v1/PrometheusRule"
HTTP_ROUTE: Final = "gateway.networking.k8s.io/v1/HTTPRoute"
EXTERNAL_METRICS: Final = "external.metrics.k8s.io"


class SecretKind(StrEnum):
    """The secrets that are generated; see `credentials.random_secret`."""

    POSTGRES_PASSWORD = "postgres-password"  # noqa: S105 - the name of a kind
    VALKEY_PASSWORD = "valkey-password"  # noqa: S105
    API_KEY = "api-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """The images that the operator takes where a resource names none."""

    runtime_image: str
    postgres_image: str
    valkey_image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """The ids that the first team and project have in the database: what the API asks for in the place of names."""

    team: str
    project: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that children are computed from; the same inputs give the same children, byte for byte.

    Parameters:
        new_secret: makes a secret of a kind, for a generated Secret that is not there yet.
        capabilities: what of the optional APIs the cluster serves: the constants of this module.
        digests: by `Secret/NAME/KEY` or `ConfigMap/NAME/KEY` what `digests.value_digest` says of the value; what
            is missing is not there.
        generated: by name of a generated Secret its data, decoded, as far as it is there: kept as it is.
        operator_environment: further variables of the server and the workers, which the operator was given.
        observed_storage: by name of a StatefulSet the size in its claim template, which cannot be changed.
        database_volume: uid of the managed PostgreSQL's volume claim; empty while there is none.
        reports: by name of a migration's Job that succeeded, what it told, as far as its pod is still there.
    """

    resource: ClaudeMemServer
    defaults: Defaults
    new_secret: Callable[[SecretKind], str]
    capabilities: frozenset[str] = frozenset()
    digests: Mapping[str, str] = field(default_factory=dict, repr=False)
    generated: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    operator_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    observed_storage: Mapping[str, str] = field(default_factory=dict)
    database_volume: str = ""
    reports: Mapping[str, Identities] = field(default_factory=dict)


class GateKind(StrEnum):
    """What a gate waits for, by the kind of object that it looks at."""

    READY = "StatefulSet"
    """All replicas ready, of the revision that was last asked for."""
    COMPLETE = "Job"
    """The Job has succeeded."""
    AVAILABLE = "Deployment"
    """Its condition Available is true, at its current generation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What has to be true before the next stage begins.

    Parameters:
        name: the object's.
        condition: of the resource's status, that says whether the gate is open.
    """

    kind: GateKind
    name: str
    condition: ConditionType


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How many replicas a Deployment has, whose manifest never says: to be set through its subresource `scale`.

    So nobody's apply owns `replicas`, and turning an autoscaler on or off keeps the number that runs.

    Parameters:
        deployment: its name.
        replicas: how many there are to be; None where an autoscaler decides.
        wake: how many to set where an autoscaler decides and there are none, for it takes none as "switched off".
    """

    deployment: str
    replicas: int | None
    wake: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A PersistentVolumeClaim that a StatefulSet makes, and the size that it is to have.

    Its own template keeps the size it was made with; a claim that is smaller than `storage` is patched.
    """

    name: str
    storage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Children that may be applied together, and what must be true before the next stage's are.

    Parameters:
        manifests: to be applied in this order.
        gate: None where nothing waits for them.
        needed: whether later stages are of no use where one of these is refused.
        scale: the one Deployment whose replicas are set apart from its manifest.
        claims: sizes of volumes.
    """

    name: str
    manifests: tuple[Manifest, ...]
    gate: Gate | None = None
    needed: bool = True
    scale: Scale | None = None
    claims: tuple[Claim, ...] = ()
