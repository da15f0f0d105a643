"""All children of a resource, in the order in which they come into being."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem_operator.desired import (
    autoscaling,
    credentials,
    disruption,
    migration,
    monitoring,
    network,
    postgres,
    routing,
    server,
    stores,
    valkey,
    worker,
)
from claude_mem_operator.desired.context import Context
from claude_mem_operator.desired.names import Component, child
from claude_mem_operator.desired.types import (
    EXTERNAL_METRICS,
    HTTP_ROUTE,
    PROMETHEUS_RULE,
    SERVICE_MONITOR,
    Gate,
    GateKind,
    Inputs,
    Stage,
)

if TYPE_CHECKING:
    from claude_mem_operator.desired.types import Manifest


def desired(inputs: Inputs) -> tuple[Stage, ...]:
    """The children, in stages: each begins when the gate of the one before it is open.

    What protects (policies and budgets) comes first and waits for nothing. A store that runs elsewhere has no stage.
    """
    context = Context.of(inputs)
    job = migration.build(context)
    ids = credentials.identities(inputs, job=job["metadata"]["name"])
    return (
        Stage(name="identity", manifests=(_service_account(context),)),
        Stage(
            name="protection",
            manifests=(*network.build(context), *disruption.build(context)),
            needed=False,
        ),
        Stage(name="secrets", manifests=credentials.build(context.resource, context.credentials, ids)),
        *_stores(context),
        _migration(job),
        Stage(name="server", manifests=server.build(context), gate=server.gate(context)),
        Stage(name="worker", manifests=(worker.build(context),), scale=worker.scale(context)),
        Stage(
            name="edges",
            manifests=(
                *autoscaling.build(context),
                *routing.build(context),
                *monitoring.build(context),
            ),
            needed=False,
        ),
    )


def unserved(inputs: Inputs) -> dict[str, str]:
    """Fields of the resource that have no effect here, by JSON path, each with the API that the cluster lacks."""
    spec = inputs.resource.spec
    autoscaler = spec.worker.autoscaling
    asked = (
        (spec.server.http_route is not None, "spec.server.httpRoute", HTTP_ROUTE),
        (
            autoscaler.enabled and autoscaler.target_queue_depth is not None,
            "spec.worker.autoscaling.targetQueueDepth",
            EXTERNAL_METRICS,
        ),
        (
            autoscaler.enabled and autoscaler.target_queue_age_seconds is not None,
            "spec.worker.autoscaling.targetQueueAgeSeconds",
            EXTERNAL_METRICS,
        ),
        (spec.monitoring.enabled, "spec.monitoring", SERVICE_MONITOR),
        (spec.monitoring.enabled, "spec.monitoring", PROMETHEUS_RULE),
    )
    return {path: api for wanted, path, api in asked if wanted and api not in inputs.capabilities}


def _service_account(context: Context) -> Manifest:
    return child(
        context.resource,
        Component.SHARED,
        api_version="v1",
        kind="ServiceAccount",
        body={"automountServiceAccountToken": False},
    )


def _stores(context: Context) -> tuple[Stage, ...]:
    spec, found = context.spec, []
    if spec.postgres.managed is not None:
        found.append(
            Stage(
                name="postgres",
                manifests=postgres.build(context, spec.postgres.managed),
                gate=stores.gate(context, Component.POSTGRES, "DatabaseReady"),
                claims=(stores.claim(context, Component.POSTGRES, spec.postgres.managed),),
            )
        )
    if spec.valkey.managed is not None:
        found.append(
            Stage(
                name="valkey",
                manifests=valkey.build(context, spec.valkey.managed),
                gate=stores.gate(context, Component.VALKEY, "CacheReady"),
                claims=(stores.claim(context, Component.VALKEY, spec.valkey.managed),),
            )
        )
    return tuple(found)


def _migration(job: Manifest) -> Stage:
    gate = Gate(kind=GateKind.COMPLETE, name=job["metadata"]["name"], condition="Migrated")
    return Stage(name="migration", manifests=(job,), gate=gate)
