"""NetworkPolicies: each component is reached by those that need it, and reaches what it needs.

A port of a store that runs elsewhere, of a provider at another address, of a service that makes vectors, and of a receiver
of traces, is not to be known here: a Service may stand before another port. Then its component may connect to anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.environment import Role
from claude_mem.environment.catalogue import embedding, service
from claude_mem.environment.providers import PROVIDERS
from claude_mem_operator.desired.environment import DATABASE_VARIABLES, migration_environment
from claude_mem_operator.desired.names import (
    POSTGRES_PORT,
    SERVER_PORT,
    VALKEY_PORT,
    Component,
    child,
    selector,
)

if TYPE_CHECKING:
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.environment import EnvironmentOf
    from claude_mem_operator.desired.types import Manifest

# 5353 is where some clusters' DNS pods listen behind port 53 of their Service.
_DNS: Final = {
    "ports": [{"port": port, "protocol": protocol} for port in (53, 5353) for protocol in ("UDP", "TCP")]
}
_PROVIDERS: Final = {"ports": [{"port": 443, "protocol": "TCP"}]}
_ANYTHING: Final[Manifest] = {}
_PROXIES: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})
_BASE_URLS: Final = frozenset(name for provider in PROVIDERS.values() for name in provider.base_url.names)
_ADDRESSES: Final = _BASE_URLS | {service.OTLP_ENDPOINT.name, embedding.BASE_URL.name}

_STORES: Final = DATABASE_VARIABLES | {service.REDIS_URL.name}

_CLIENTS: Final = {
    Component.POSTGRES: (Component.MIGRATION, Component.SERVER, Component.WORKER),
    Component.VALKEY: (Component.SERVER, Component.WORKER),
}
_PORTS: Final = {Component.POSTGRES: POSTGRES_PORT, Component.VALKEY: VALKEY_PORT}


def build(context: Context) -> tuple[Manifest, ...]:
    """The policies, one for each component that has pods."""
    spec = context.spec
    if not spec.network_policy.enabled:
        return ()
    server, worker = context.environments[Role.SERVER], context.environments[Role.WORKER]
    both = (Component.POSTGRES, Component.VALKEY)
    egress = {
        Component.MIGRATION: _egress(context, (Component.POSTGRES,), migration_environment(server)),
        Component.SERVER: _egress(context, both, server),
        Component.WORKER: [*_egress(context, both, worker), _PROVIDERS],
    }
    return (
        *(_store(context, component) for component in _managed(context)),
        *(
            _policy(
                context,
                component,
                ingress=_server_ingress(context) if component is Component.SERVER else [],
                egress=rules,
            )
            for component, rules in egress.items()
        ),
    )


def _managed(context: Context) -> tuple[Component, ...]:
    found = (
        (Component.POSTGRES, context.spec.postgres.managed),
        (Component.VALKEY, context.spec.valkey.managed),
    )
    return tuple(component for component, managed in found if managed is not None)


def _store(context: Context, component: Component) -> Manifest:
    rule = {
        "from": [_pods(context, client) for client in _CLIENTS[component]],
        "ports": [{"port": _PORTS[component], "protocol": "TCP"}],
    }
    return _policy(context, component, ingress=[rule], egress=[])


def _server_ingress(context: Context) -> list[Manifest]:
    """Everybody where the resource does not say whom; where it names nobody, nobody."""
    peers = context.spec.network_policy.ingress_from
    if peers is not None and not peers:
        return []
    rule: Manifest = {"ports": [{"port": SERVER_PORT, "protocol": "TCP"}]}
    if peers is not None:
        rule["from"] = [peer.manifest() for peer in peers]
    return [rule]


def _egress(context: Context, stores: tuple[Component, ...], environment: EnvironmentOf) -> list[Manifest]:
    if set(stores) - set(_managed(context)) or _goes_elsewhere(context, environment):
        return [_ANYTHING]
    return [
        _DNS,
        *(
            {"to": [_pods(context, store)], "ports": [{"port": _PORTS[store], "protocol": "TCP"}]}
            for store in stores
        ),
    ]


def _goes_elsewhere(context: Context, environment: EnvironmentOf) -> bool:
    """Whether the resource or the operator sends a process to an address of their own."""
    names = {variable["name"] for variable in environment.env}
    theirs = {name for name, path in environment.paths.items() if ".env[" in path}
    theirs |= names & set(context.inputs.operator_environment)
    proxied = {name.upper() for name in names} & _PROXIES
    return bool(proxied or names & _ADDRESSES or theirs & _STORES)


def _pods(context: Context, component: Component) -> Manifest:
    return {"podSelector": {"matchLabels": selector(context.resource, component)}}


def _policy(
    context: Context, component: Component, *, ingress: list[Manifest], egress: list[Manifest]
) -> Manifest:
    """A policy; without rules for a direction there is nothing to be said of it, and nothing passes."""
    rules = {"ingress": ingress, "egress": egress}
    return child(
        context.resource,
        component,
        api_version="networking.k8s.io/v1",
        kind="NetworkPolicy",
        body={
            "spec": {
                "podSelector": {"matchLabels": selector(context.resource, component)},
                "policyTypes": ["Ingress", "Egress"],
                **{direction: given for direction, given in rules.items() if given},
            }
        },
    )
