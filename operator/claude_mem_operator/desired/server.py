"""The HTTP server: a Deployment that is replaced without a request lost, and its Service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.environment import Role
from claude_mem_operator.desired import pods
from claude_mem_operator.desired.names import SERVER_PORT, Component, child, child_name, selector
from claude_mem_operator.desired.types import Gate, GateKind

if TYPE_CHECKING:
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.types import Manifest

PORT_NAME: Final = "http"

#: Seconds for which a pod that is told to end still serves: until no proxy sends it requests any more.
_DRAIN_S: Final = 5


def build(context: Context) -> tuple[Manifest, ...]:
    """The Service and the Deployment."""
    return _service(context), _deployment(context)


def gate(context: Context) -> Gate:
    """The gate behind the server: it is available."""
    name = child_name(context.resource, Component.SERVER)
    return Gate(kind=GateKind.AVAILABLE, name=name, condition="ServerAvailable")


def _service(context: Context) -> Manifest:
    service = context.spec.server.service
    port: Manifest = {
        "name": PORT_NAME,
        "port": SERVER_PORT,
        "protocol": "TCP",
        "appProtocol": "http",
        "targetPort": PORT_NAME,
    }
    if service.node_port is not None:
        port["nodePort"] = service.node_port
    spec = {
        "type": service.type,
        "selector": selector(context.resource, Component.SERVER),
        "ports": [port],
    }
    return child(
        context.resource,
        Component.SERVER,
        api_version="v1",
        kind="Service",
        annotations=service.annotations,
        body={"spec": spec},
    )


def _deployment(context: Context) -> Manifest:
    server = context.spec.server
    spec = {
        "replicas": server.replicas,
        "revisionHistoryLimit": 3,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "selector": {"matchLabels": selector(context.resource, Component.SERVER)},
        "template": _template(context),
    }
    return child(
        context.resource, Component.SERVER, api_version="apps/v1", kind="Deployment", body={"spec": spec}
    )


def _template(context: Context) -> Manifest:
    server = context.spec.server
    return pods.runtime_template(
        context,
        Component.SERVER,
        settings=server,
        environment=context.environments[Role.SERVER],
        command=["claude-mem", "server", "--daemon"],
        ports=[{"name": PORT_NAME, "containerPort": SERVER_PORT}],
        startupProbe=pods.probe(_get("/healthz"), period_s=1, timeout_s=5, failures=120),
        readinessProbe=pods.probe(_get("/readyz"), period_s=5, timeout_s=5, failures=2),
        livenessProbe=pods.probe(_get("/healthz"), period_s=10, timeout_s=5, failures=6),
        **_pre_stop(server.termination_grace_period_seconds),
    )


def _get(path: str) -> Manifest:
    return {"httpGet": {"path": path, "port": PORT_NAME}}


def _pre_stop(grace_s: int) -> Manifest:
    """A pause before the signal to end, which counts towards the grace period and leaves half of it at least."""
    pause = min(_DRAIN_S, grace_s // 2)
    return {"lifecycle": {"preStop": {"sleep": {"seconds": pause}}}} if pause else {}
