"""What the pods of every component have in common: security, placement, volumes, and the fields of a container.

All of them fit PodSecurity's level `restricted`
(https://kubernetes.io/docs/concepts/security/pod-security-standards/), and see a root file system that is read-only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from claude_mem_operator.api import quantity
from claude_mem_operator.desired import authorities
from claude_mem_operator.desired.environment import DATA_DIR
from claude_mem_operator.desired.names import REFERENCES_ANNOTATION, Component, child_name, labels, selector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from claude_mem_operator.api import ReplicatedScheduling, Resources, Scheduling, SecretKeyRef
    from claude_mem_operator.api.components import Server, Worker
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.environment import EnvironmentOf
    from claude_mem_operator.desired.types import Manifest

#: The users of our image (Dockerfile.runtime) and of the stores' official ones.
RUNTIME_UID: Final = 10_001
STORE_UID: Final = 999

#: What a container asks for where the resource names neither a request nor a limit, so that it can be scheduled, and
#: an autoscaler has something to compare with.
REQUESTS: Final[dict[Component, dict[str, str]]] = {
    Component.POSTGRES: {"cpu": "100m", "memory": "256Mi"},
    Component.VALKEY: {"cpu": "50m", "memory": "64Mi"},
    Component.MIGRATION: {"cpu": "50m", "memory": "128Mi"},
    Component.SERVER: {"cpu": "100m", "memory": "256Mi"},
    # Twice what it takes while it does nothing is below the autoscaler's target: else two would never become one again.
    Component.WORKER: {"cpu": "100m", "memory": "384Mi"},
}

TMP: Final = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a volume of the pod's own

_CONTAINER_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}

#: Nodes apart, then zones; never a reason to wait.
_SPREAD: Final = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where pods may run, and what they carry for others.

    Parameters:
        grace_s: seconds between the first signal to end and the last.
    """

    node_selector: Mapping[str, str]
    tolerations: Sequence[Manifest]
    affinity: Manifest | None
    priority_class: str | None
    spread: Sequence[Manifest]
    annotations: Mapping[str, str]
    more_labels: Mapping[str, str]
    grace_s: int


def placement(scheduling: Scheduling, *, grace_s: int, spread: Sequence[Manifest] = ()) -> Placement:
    """The placement that the resource asks for."""
    return Placement(
        node_selector=dict(sorted(scheduling.node_selector.items())),
        tolerations=[toleration.manifest() for toleration in scheduling.tolerations],
        affinity=None if scheduling.affinity is None else scheduling.affinity.manifest(),
        priority_class=scheduling.priority_class_name,
        spread=spread,
        annotations=scheduling.pod_annotations,
        more_labels=scheduling.pod_labels,
        grace_s=grace_s,
    )


def spread(context: Context, component: Component, scheduling: ReplicatedScheduling) -> list[Manifest]:
    """How a component's pods are spread: as the resource says, or evenly where that is possible."""
    own = {"matchLabels": selector(context.resource, component)}
    given = [constraint.manifest() for constraint in scheduling.topology_spread_constraints]
    if not given:
        given = [{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway"} for key in _SPREAD]
    return [{"labelSelector": own} | constraint for constraint in given]


def template(
    context: Context,
    component: Component,
    *,
    place: Placement,
    containers: Sequence[Manifest],
    volumes: Sequence[Manifest],
    references: Sequence[str],
    init_containers: Sequence[Manifest] = (),
) -> Manifest:
    """A pod template.

    Parameters:
        references: keys of Secrets and ConfigMaps that the pod reads: their values' digest is an annotation, so
            that a change of any rolls these pods and no others.
    """
    user = STORE_UID if component in {Component.POSTGRES, Component.VALKEY} else RUNTIME_UID
    spec: Manifest = {
        "serviceAccountName": child_name(context.resource, Component.SHARED),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": place.grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": list(containers),
        "volumes": list(volumes),
    }
    optional: Manifest = {
        "initContainers": list(init_containers),
        "imagePullSecrets": [{"name": secret.name} for secret in context.spec.image_pull_secrets],
        "nodeSelector": place.node_selector,
        "tolerations": list(place.tolerations),
        "affinity": place.affinity,
        "priorityClassName": place.priority_class,
        "topologySpreadConstraints": list(place.spread),
    }
    spec |= {name: value for name, value in optional.items() if value}
    own_labels = {**place.more_labels, **labels(context.resource, component)}
    annotations = {**place.annotations, REFERENCES_ANNOTATION: context.references_digest(references)}
    metadata = {
        "labels": dict(sorted(own_labels.items())),
        "annotations": dict(sorted(annotations.items())),
    }
    return {"metadata": metadata, "spec": spec}


def runtime_template(
    context: Context,
    component: Component,
    *,
    settings: Server | Worker,
    environment: EnvironmentOf,
    command: Sequence[str],
    **fields: Any,
) -> Manifest:
    """The template of pods with one container of our image; `fields` are its further ones, such as probes and ports."""
    grace_s = settings.termination_grace_period_seconds
    return template(
        context,
        component,
        place=placement(settings, grace_s=grace_s, spread=spread(context, component, settings)),
        containers=[
            container(
                component,
                image=context.image,
                pull_policy=context.spec.image_pull_policy,
                command=command,
                env=environment.env,
                resources=effective_resources(component, settings.resources),
                mounts=runtime_mounts(context, environment),
                **fields,
            )
        ],
        volumes=runtime_volumes(context, environment),
        references=runtime_references(context, environment),
    )


def container(
    name: Component | str,
    *,
    image: str,
    pull_policy: str,
    command: Sequence[str],
    env: Sequence[Manifest],
    resources: Manifest,
    mounts: Sequence[Manifest],
    **fields: Any,
) -> Manifest:
    """A container; `fields` are further ones, such as its probes and ports."""
    return {
        "name": str(name),
        "image": image,
        "imagePullPolicy": pull_policy,
        "command": list(command),
        "env": list(env),
        "resources": resources,
        "securityContext": _CONTAINER_SECURITY,
        # What a process said before it failed is in its pod's status, for the resource's own.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": list(mounts),
        **fields,
    }


def effective_resources(component: Component, given: Resources) -> Manifest:
    """What a container asks for and may take: as given, with a request where neither says anything."""
    requests, limits = dict(given.requests or {}), dict(given.limits or {})
    for name, amount in REQUESTS[component].items():
        if name not in limits:
            requests.setdefault(name, amount)
    found = {"requests": dict(sorted(requests.items())), "limits": dict(sorted(limits.items()))}
    return {member: amounts for member, amounts in found.items() if amounts}


def memory_bytes(component: Component, given: Resources) -> int:
    """The memory that a container can count on: its limit, else its request."""
    amounts = effective_resources(component, given)
    limit = amounts.get("limits", {}).get("memory")
    return int(quantity(limit or amounts["requests"]["memory"]))


def scratch(name: str, size: str, *, in_memory: bool = False) -> Manifest:
    """A volume that lives as long as its pod."""
    medium = {"medium": "Memory"} if in_memory else {}
    return {"name": name, "emptyDir": {**medium, "sizeLimit": size}}


def runtime_volumes(context: Context, environment: EnvironmentOf) -> list[Manifest]:
    """What our image writes to, temporary files and its data directory, and what it reads beside its environment."""
    return [
        scratch("tmp", "64Mi"),
        scratch("data", "64Mi"),
        *(
            secret_file(authorities.volume(store), ref.name, ref.key, authorities.FILE)
            for store, ref in _authorities(context, environment).items()
        ),
    ]


def runtime_mounts(context: Context, environment: EnvironmentOf) -> list[Manifest]:
    """Where `runtime_volumes` are."""
    return [
        TMP,
        {"name": "data", "mountPath": DATA_DIR},
        *(
            {"name": authorities.volume(store), "mountPath": authorities.directory(store), "readOnly": True}
            for store in _authorities(context, environment)
        ),
    ]


def runtime_references(context: Context, environment: EnvironmentOf) -> list[str]:
    """What a process reads of Secrets and ConfigMaps, by its environment and `runtime_volumes`."""
    files = [f"Secret/{ref.name}/{ref.key}" for ref in _authorities(context, environment).values()]
    return [*environment.references, *files]


def secret_file(volume: str, secret: str, key: str, path: str) -> Manifest:
    """A volume with one key of a Secret as a file of the name `path`, which nobody but the pod's own user may read."""
    items = [{"key": key, "path": path}]
    return {"name": volume, "secret": {"secretName": secret, "defaultMode": 0o440, "items": items}}


def _authorities(context: Context, environment: EnvironmentOf) -> dict[Component, SecretKeyRef]:
    """Those of the stores that a process with this environment asks."""
    names = {variable["name"] for variable in environment.env}
    found = authorities.given(context.resource)
    return {store: ref for store, ref in found.items() if authorities.VARIABLES[store] in names}


def shell(script: str) -> list[str]:
    """A command that is a script of the POSIX shell, which ends at its first error."""
    return ["/bin/sh", "-euc", script]


def probe(handler: Manifest, *, period_s: int, timeout_s: int, failures: int) -> Manifest:
    """A probe that gives up after `failures` in a row."""
    return {
        **handler,
        "periodSeconds": period_s,
        "timeoutSeconds": timeout_s,
        "failureThreshold": failures,
    }
