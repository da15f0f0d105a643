"""What Prometheus and Grafana are given: where the metrics are, alert rules, and dashboards.

Rules and dashboards are the files beside this module: `alerts.yaml`, whose groups go into a PrometheusRule, and
`dashboard-*.json`, which go into a ConfigMap. `__NAME__` and `__NAMESPACE__` in them stand for the resource's.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import yaml

from claude_mem.environment.catalogue.service import METRICS_TOKEN
from claude_mem_operator.desired.names import Component, child, selector
from claude_mem_operator.desired.server import PORT_NAME
from claude_mem_operator.desired.types import PROMETHEUS_RULE, SERVICE_MONITOR

if TYPE_CHECKING:
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.types import Manifest

METRICS_PATH: Final = "/metrics"
#: By this label Grafana's sidecar finds dashboards.
_DASHBOARD: Final = {"grafana_dashboard": "1"}


def build(context: Context) -> tuple[Manifest, ...]:
    """What the resource asks for, as far as the cluster serves it."""
    if not context.spec.monitoring.enabled:
        return ()
    capabilities = context.inputs.capabilities
    found = [_dashboards(context)] if _dashboard_files() else []
    if SERVICE_MONITOR in capabilities:
        found.append(_service_monitor(context))
    if PROMETHEUS_RULE in capabilities:
        found.append(_rules(context))
    return tuple(found)


def _service_monitor(context: Context) -> Manifest:
    endpoint = {
        "port": PORT_NAME,
        "path": METRICS_PATH,
        "interval": context.spec.monitoring.interval,
        # Alerts, dashboards and the autoscaler find the resource by its name; the namespace is there anyway.
        "relabelings": [{"targetLabel": "name", "replacement": context.resource.metadata.name}],
    } | _authorization(context)
    spec = {
        "selector": {"matchLabels": selector(context.resource, Component.SERVER)},
        "endpoints": [endpoint],
    }
    return _child(context, SERVICE_MONITOR, {"spec": spec})


def _authorization(context: Context) -> Manifest:
    """The token that the servers ask for, where their environment has it from a Secret."""
    for variable in context.spec.server.env:
        source = variable.value_from and variable.value_from.secret_key_ref
        if variable.name == METRICS_TOKEN.name and source:
            return {"authorization": {"credentials": {"name": source.name, "key": source.key}}}
    return {}


def _rules(context: Context) -> Manifest:
    groups = [_filled(context, group) for group in _alert_groups()]
    return _child(context, PROMETHEUS_RULE, {"spec": {"groups": groups}})


def _dashboards(context: Context) -> Manifest:
    data = {name: _filled(context, text) for name, text in sorted(_dashboard_files().items())}
    return child(
        context.resource,
        Component.SERVER,
        api_version="v1",
        kind="ConfigMap",
        name=f"{context.resource.metadata.name}-dashboards",
        more_labels=_DASHBOARD | context.spec.monitoring.labels,
        body={"data": data},
    )


def _child(context: Context, capability: str, body: Manifest) -> Manifest:
    api_version, _, kind = capability.rpartition("/")
    return child(
        context.resource,
        Component.SERVER,
        api_version=api_version,
        kind=kind,
        more_labels=context.spec.monitoring.labels,
        body=body,
    )


@cache
def _alert_groups() -> tuple[Any, ...]:
    text = (resources.files(__package__) / "alerts.yaml").read_text(encoding="utf-8")
    return tuple(yaml.safe_load(text)["groups"])


@cache
def _dashboard_files() -> dict[str, str]:
    return {
        file.name: file.read_text(encoding="utf-8")
        for file in resources.files(__package__).iterdir()
        if file.name.startswith("dashboard-") and file.name.endswith(".json")
    }


def _filled(context: Context, value: Any) -> Any:
    """A JSON value with the resource's name and namespace in every text."""
    if isinstance(value, dict):
        return {name: _filled(context, part) for name, part in value.items()}
    if isinstance(value, list):
        return [_filled(context, part) for part in value]
    if not isinstance(value, str):
        return value
    metadata = context.resource.metadata
    return value.replace("__NAME__", metadata.name).replace("__NAMESPACE__", metadata.namespace)
