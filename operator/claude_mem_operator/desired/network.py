"""NetworkPolicies: each component is reached by those that need it, and reaches what it needs.

A port of a store that runs elsewhere, and of a provider at another address, is not to be known here: a Service may stand
before another port. Then its component may connect to anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.environment import Role
from claude_mem.environment.providers import PROVIDERS
from claude_mem_operator.desired.environment import DATABASE_VARIABLES
from claude_mem_operator.desired.names import (
    POSTGRES_PORT,
    SERVER_PORT,
    VALKEY_PORT,
    Component,
    child,
    child_name,
    selector,
)

if TYPE_CHECKING:
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.types import Manifest

_HTTPS: Final = 443
# 5353 is where some clusters' DNS pods listen behind port 53 of their Service.
_DNS: Final = {
    "ports": [{"port": port, "protocol": protocol} for port in (53, 5353) for protocol in ("UDP", "TCP")]
}
_ANYTHING: Final[Manifest] = {}
_PROXIES: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"})
_BASE_URLS: Final = frozenset(name for provider in PROVIDERS.values() for name in provider.base_url.names)

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
    stores = _managed(context)
    policies = [_store(context, component) for component in stores]
    policies += [
        _policy(
            context,
            Component.MIGRATION,
            ingress=[],
            egress=_egress(context, stores=(Component.POSTGRES,), role=Role.SERVER),
        ),
        _policy(
            context,
            Component.SERVER,
            ingress=_server_ingress(context),
            egress=_egress(context, stores=(Component.POSTGRES, Component.VALKEY), role=Role.SERVER),
        ),
        _policy(
            context,
            Component.WORKER,
            ingress=[],
            egress=[
                *_egress(context, stores=(Component.POSTGRES, Component.VALKEY), role=Role.WORKER),
                {"ports": [{"port": _HTTPS, "protocol": "TCP"}]},
            ],
        ),
    ]
    return tuple(policies)


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


def _egress(context: Context, *, stores: tuple[Component, ...], role: Role) -> list[Manifest]:
    managed = _managed(context)
    if set(stores) - set(managed) or _goes_elsewhere(context, role):
        return [_ANYTHING]
    return [
        _DNS,
        *(
            {
                "to": [_pods(context, store)],
                "ports": [{"port": _PORTS[store], "protocol": "TCP"}],
            }
            for store in stores
        ),
    ]


def _goes_elsewhere(context: Context, role: Role) -> bool:
    """Whether the resource or the operator sends a process to an address of their own."""
    environment = context.environments[role]
    names = {variable["name"] for variable in environment.env}
    elsewhere = bool({name.upper() for name in names} & _PROXIES)
    if role is Role.WORKER:
        elsewhere = elsewhere or bool(names & _BASE_URLS)
    given = {name for name, path in environment.paths.items() if ".env[" in path}
    given |= set(context.inputs.operator_environment)
    return elsewhere or bool(given & (DATABASE_VARIABLES | {"CLAUDE_MEM_REDIS_URL"}))


def _pods(context: Context, component: Component) -> Manifest:
    return {"podSelector": {"matchLabels": selector(context.resource, component)}}


def _policy(
    context: Context, component: Component, *, ingress: list[Manifest], egress: list[Manifest]
) -> Manifest:
    return child(
        context.resource,
        component,
        api_version="networking.k8s.io/v1",
        kind="NetworkPolicy",
        name=child_name(context.resource, component),
        body={
            "spec": {
                "podSelector": {"matchLabels": selector(context.resource, component)},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": ingress,
                "egress": egress,
            }
        },
    )
