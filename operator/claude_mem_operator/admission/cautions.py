"""What is allowed and may still surprise: told as warnings when a resource is written, never refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.environment import Role
from claude_mem.environment.catalogue import service
from claude_mem.environment.providers import PROVIDERS
from claude_mem_operator.admission.findings import given_to
from claude_mem_operator.api import quantity
from claude_mem_operator.desired.environment import component_environments
from claude_mem_operator.desired.names import Component
from claude_mem_operator.desired.pods import effective_resources, memory_bytes
from claude_mem_operator.desired.postgres_tuning import RESERVE, max_connections

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from decimal import Decimal

    from claude_mem_operator.api import ClaudeMemServer, ClaudeMemServerSpec, PodDisruptionBudget, Resources

#: What a worker takes while it does nothing. With two of them an autoscaler goes back to one only where this is no more
#: than half its target: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details.
IDLE_WORKER_MIB: Final = 120
#: PostgreSQL's own max_connections, less the three that it keeps for superusers.
USUAL_CONNECTIONS: Final = 97
#: While pods are replaced, the old ones finish what they have begun.
_GENERATIONS: Final = 2
_KEYS: Final = frozenset(
    {"PGPASSWORD", *(name for provider in PROVIDERS.values() for name in provider.key.names)}
)


def cautions(resource: ClaudeMemServer, operator_environment: Mapping[str, str]) -> tuple[str, ...]:
    """One sentence for each, with the field's path before it."""
    spec = resource.spec
    return (
        *_scaling(spec),
        *_budget(spec.server.pod_disruption_budget, spec.server.replicas, path="spec.server"),
        *_connections(resource, operator_environment),
        *_open_text(resource),
    )


def _scaling(spec: ClaudeMemServerSpec) -> Iterator[str]:
    if spec.server.replicas == 0:
        yield "spec.server.replicas: is 0, so nothing is answered: callers get no connection."
    scaling = spec.worker.autoscaling
    if not scaling.enabled:
        if spec.worker.replicas == 0:
            yield "spec.worker.replicas: is 0, so nothing is generated: events wait."
        return
    if spec.worker.replicas != type(spec.worker).model_fields["replicas"].default:
        yield (
            "spec.worker.replicas: has no effect while spec.worker.autoscaling.enabled is true; set "
            "autoscaling.minReplicas and maxReplicas instead."
        )
    for name in ("cpu", "memory"):
        if not _asked(spec.worker.resources, name):
            yield (
                f"spec.worker.resources.requests: asks for no {name}, of which the autoscaler's target is "
                f"a share; without it workers do not scale by {name}."
            )
    target = scaling.target_memory_utilization_percentage
    least = -(-2 * IDLE_WORKER_MIB * 100 // target)
    if 0 < _asked(spec.worker.resources, "memory") < least * 2**20:
        yield (
            f"spec.worker.resources.requests.memory: a worker takes about {IDLE_WORKER_MIB} MiB while it does nothing, "
            f"so workers that came would not go again; ask for {least}Mi or more, or raise "
            f"autoscaling.targetMemoryUtilizationPercentage ({target})."
        )


def _asked(resources: Resources, name: str) -> Decimal:
    """What workers ask for of it; where there is only a limit, Kubernetes takes that for the request."""
    effective = effective_resources(Component.WORKER, resources)
    return quantity({**effective.get("limits", {}), **effective.get("requests", {})}[name])


def _budget(budget: PodDisruptionBudget, replicas: int, *, path: str) -> Iterator[str]:
    least, away = budget.min_available, budget.max_unavailable
    stuck = away in {0, "0%"} or least == "100%" or (isinstance(least, int) and least >= replicas > 0)
    if budget.enabled and stuck:
        yield f"{path}.podDisruptionBudget: lets no pod go, so no node with one of them can be drained."


def _connections(resource: ClaudeMemServer, operator_environment: Mapping[str, str]) -> Iterator[str]:
    spec = resource.spec
    environments = component_environments(resource, operator_environment)
    pods = {Role.SERVER: spec.server.replicas, Role.WORKER: spec.worker.most_replicas}
    total = sum(count * service.POOL_MAX.read(environments[role].values) for role, count in pods.items())
    if spec.postgres.managed is not None:
        most = max_connections(memory_bytes(Component.POSTGRES, spec.postgres.managed.resources)) - RESERVE
        if total * _GENERATIONS > most:
            yield (
                f"spec.postgres.managed.resources: up to {total * _GENERATIONS} connections may be opened while "
                f"pods are replaced, and this memory is for {most}; raise its limit, or lower "
                f"{service.POOL_MAX.name} or the number of pods."
            )
    elif total > USUAL_CONNECTIONS:
        yield (
            f"spec.postgres.external: up to {total} connections may be opened, and PostgreSQL takes "
            f"{USUAL_CONNECTIONS} unless its max_connections says more; raise that, or lower "
            f"{service.POOL_MAX.name} or the number of pods."
        )


def _open_text(resource: ClaudeMemServer) -> Iterator[str]:
    spec = resource.spec
    for role in Role:
        for index, variable in enumerate(given_to(resource, role)):
            if variable.name in _KEYS and (variable.value or "").strip():
                yield (
                    f"spec.{role}.env[{index}].value: {variable.name} is a secret, and everybody who may read "
                    "the resource can read it; use valueFrom.secretKeyRef."
                )
    for index, entry in enumerate((spec.provider, *spec.provider.fallbacks)):
        if (entry.base_url or "").startswith("http://"):
            path = "spec.provider" if index == 0 else f"spec.provider.fallbacks[{index - 1}]"
            yield f"{path}.baseUrl: is not https, so the provider's key and the prompts travel readable."
    if spec.server.ingress is not None and spec.server.ingress.tls_secret_name is None:
        yield "spec.server.ingress: has no tlsSecretName, so API keys may travel readable."
