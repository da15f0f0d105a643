"""`spec` of the resource."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.components import Server, Worker
from claude_mem_operator.api.lists import Unique
from claude_mem_operator.api.provider import Auth, Bootstrap, Budgets, Generation, Log, Provider
from claude_mem_operator.api.references import LocalObjectReference, PullPolicy
from claude_mem_operator.api.scalars import ImageReference, Labels
from claude_mem_operator.api.selectors import NetworkPolicyPeer
from claude_mem_operator.api.stores import ManagedPostgres, ManagedValkey, Postgres, Valkey


class NetworkPolicy(Model):
    """Who may connect to what."""

    enabled: bool = True
    """Whether there are NetworkPolicies: the stores take connections of the server and the workers only."""
    ingress_from: (
        Annotated[
            tuple[NetworkPolicyPeer, ...],
            Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
        ]
        | None
    ) = None
    """Who may connect to the server; not given: everybody, and an empty list: nobody."""


class Monitoring(Model):
    """What Prometheus and Grafana are given, where the cluster knows those kinds of objects."""

    enabled: bool = False
    """Whether there are a ServiceMonitor, a PrometheusRule and a ConfigMap with a dashboard."""
    interval: Annotated[str, Field(max_length=16, pattern=r"^[1-9][0-9]*(ms|s|m|h)$")] = "30s"
    """How often metrics are read, such as 30s."""
    labels: Labels = {}
    """Labels of those objects, by which Prometheus and Grafana find them."""


class ClaudeMemServerSpec(Model):
    """What is asked for."""

    image: ImageReference | None = None
    """The image of the server and the workers; the operator's own version where it is not given."""
    image_pull_policy: PullPolicy = "IfNotPresent"
    """When the image is pulled."""
    image_pull_secrets: Annotated[
        tuple[LocalObjectReference, ...],
        Field(max_length=16),
        Unique(("name",)),
    ] = ()
    """Secrets with which images are pulled."""
    provider: Provider
    """Who turns events into observations."""
    bootstrap: Bootstrap = Bootstrap()
    """The first team, its project, and a key for it."""
    postgres: Postgres = Postgres(managed=ManagedPostgres())
    """Where everything is kept."""
    valkey: Valkey = Valkey(managed=ManagedValkey())
    """What carries jobs to the workers."""
    server: Server = Server()
    """The HTTP server."""
    worker: Worker = Worker()
    """The workers."""
    auth: Auth = Auth()
    """Limits on callers, and which browsers may call."""
    budgets: Budgets = Budgets()
    """What a team may spend."""
    generation: Generation = Generation()
    """How observations are written."""
    log: Log = Log()
    """What the server and the workers log."""
    network_policy: NetworkPolicy = NetworkPolicy()
    """Who may connect to what."""
    monitoring: Monitoring = Monitoring()
    """What Prometheus and Grafana are given."""
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    """What becomes of the volumes, and of the database's credentials, when the resource is deleted."""
    paused: bool = False
    """Whether the operator leaves everything as it is; the status is still kept."""
