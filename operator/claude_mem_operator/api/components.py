"""The two components that run the image: the HTTP server and the workers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from claude_mem_operator.api.autoscaling import Autoscaling
from claude_mem_operator.api.base import Model
from claude_mem_operator.api.lists import Unique
from claude_mem_operator.api.pods import PodDisruptionBudget, ReplicatedScheduling, Resources
from claude_mem_operator.api.references import Environment
from claude_mem_operator.api.rules import Rule
from claude_mem_operator.api.scalars import Annotations, HostName, HttpUrl, LabelName, ObjectName

Replicas = Annotated[int, Field(ge=0, le=1000)]
GracePeriod = Annotated[int, Field(ge=1, le=86_400)]


class Service(Model):
    """How the server is reached within the cluster, or from outside it."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """The type of the Service."""
    annotations: Annotations = {}
    """Annotations of the Service, as load balancers read them."""
    node_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """The port on every node, for NodePort and LoadBalancer; the cluster chooses where it is not given."""

    rules = (
        Rule(
            cel="!has(self.nodePort) || self.type != 'ClusterIP'",
            holds=lambda service: service.node_port is None or service.type != "ClusterIP",
            message="means something with type NodePort or LoadBalancer only; set that, or remove it",
            field=".nodePort",
        ),
    )


class Ingress(Model):
    """An Ingress to the server."""

    host: HostName
    """The host name under which the server is reached."""
    class_name: ObjectName | None = None
    """The IngressClass; the cluster's default where it is not given."""
    path: Annotated[str, Field(max_length=1024, pattern=r"^/[^\s]*$")] = "/"
    """The prefix of the paths that are sent to the server."""
    annotations: Annotations = {}
    """Annotations of the Ingress, as controllers and issuers of certificates read them."""
    tls_secret_name: ObjectName | None = None
    """The Secret with the certificate; without one there is no TLS."""


class ParentReference(Model):
    """A Gateway."""

    name: ObjectName
    """Its name."""
    namespace: LabelName | None = None
    """Its namespace; the resource's own where it is not given."""
    section_name: ObjectName | None = None
    """One of its listeners; all where it is not given."""


class HttpRoute(Model):
    """A route of the Gateway API to the server."""

    parent_refs: Annotated[
        tuple[ParentReference, ...],
        Field(min_length=1, max_length=8, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ]
    """The Gateways that the route belongs to."""
    hostnames: Annotated[tuple[HostName, ...], Field(max_length=16), Unique()] = ()
    """Host names under which the server is reached; the Gateway's own where none are given."""


class Component(ReplicatedScheduling):
    """What the server and the workers have in common."""

    resources: Resources = Resources(requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": "1Gi"})
    """What the container asks for and may take."""
    env: Environment = ()
    """Further environment variables, and others instead of the operator's; judged by the rules by which the
    process judges itself."""
    pod_disruption_budget: PodDisruptionBudget = PodDisruptionBudget()
    """How many pods a voluntary disruption may take away."""


class Server(Component):
    """The HTTP server: takes events, answers searches."""

    replicas: Replicas = 2
    """How many pods serve."""
    public_url: HttpUrl | None = None
    """How clients reach the server, for the links that it hands out; not given: the request's own host."""
    service: Service = Service()
    """How the server is reached within the cluster, or from outside it."""
    ingress: Ingress | None = None
    """An Ingress to the server; not given: none."""
    http_route: HttpRoute | None = None
    """A route of the Gateway API to the server, where the cluster serves that; not given: none."""
    termination_grace_period_seconds: GracePeriod = 30
    """How long a pod may take to answer what it has begun before it is killed, in seconds."""


class Worker(Component):
    """The workers: turn events into observations."""

    replicas: Replicas = 1
    """How many workers run; without effect while autoscaling is enabled."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 32
    """Jobs in flight in one worker. Calls are waiting, not work, so one holds many."""
    resources: Resources = Resources(requests={"cpu": "100m", "memory": "384Mi"}, limits={"memory": "1Gi"})
    """What the container asks for and may take; the autoscaler's targets are shares of the requests."""
    autoscaling: Autoscaling = Autoscaling()
    """How the number of workers follows their load."""
    termination_grace_period_seconds: GracePeriod = 60
    """How long a worker may take to finish its jobs before it is killed, in seconds; others take what is left."""

    @property
    def most_replicas(self) -> int:
        """As many workers as there may be."""
        return self.autoscaling.max_replicas if self.autoscaling.enabled else self.replicas
