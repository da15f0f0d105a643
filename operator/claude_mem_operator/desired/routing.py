"""Ways to the server from outside the cluster: an Ingress, and a route of the Gateway API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem_operator.desired.names import SERVER_PORT, Component, child, child_name
from claude_mem_operator.desired.server import PORT_NAME
from claude_mem_operator.desired.types import HTTP_ROUTE

if TYPE_CHECKING:
    from claude_mem_operator.api import HttpRoute, Ingress
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.types import Manifest


def build(context: Context) -> tuple[Manifest, ...]:
    """What the resource asks for, as far as the cluster serves it."""
    server = context.spec.server
    found = []
    if server.ingress is not None:
        found.append(_ingress(context, server.ingress))
    if server.http_route is not None and HTTP_ROUTE in context.inputs.capabilities:
        found.append(_http_route(context, server.http_route))
    return tuple(found)


def _ingress(context: Context, ingress: Ingress) -> Manifest:
    service = {
        "name": child_name(context.resource, Component.SERVER),
        "port": {"name": PORT_NAME},
    }
    path = {"path": ingress.path, "pathType": "Prefix", "backend": {"service": service}}
    spec: Manifest = {"rules": [{"host": ingress.host, "http": {"paths": [path]}}]}
    if ingress.class_name is not None:
        spec["ingressClassName"] = ingress.class_name
    if ingress.tls_secret_name is not None:
        spec["tls"] = [{"hosts": [ingress.host], "secretName": ingress.tls_secret_name}]
    return child(
        context.resource,
        Component.SERVER,
        api_version="networking.k8s.io/v1",
        kind="Ingress",
        annotations=ingress.annotations,
        body={"spec": spec},
    )


def _http_route(context: Context, route: HttpRoute) -> Manifest:
    backend = {"name": child_name(context.resource, Component.SERVER), "port": SERVER_PORT}
    spec: Manifest = {
        "parentRefs": [parent.manifest() for parent in route.parent_refs],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                "backendRefs": [backend],
            }
        ],
    }
    if route.hostnames:
        spec["hostnames"] = list(route.hostnames)
    return child(
        context.resource,
        Component.SERVER,
        api_version=HTTP_ROUTE.rpartition("/")[0],
        kind="HTTPRoute",
        body={"spec": spec},
    )
