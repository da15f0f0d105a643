"""The kinds of objects that the operator knows: its own resource, its children, and what those refer to."""

from __future__ import annotations

from typing import Final

from claude_mem_operator.kube.port import Kind, Manifest, ObjectRef

CLAUDE_MEM_SERVER: Final = Kind("claude-mem.dev", "v1alpha1", "ClaudeMemServer", "claudememservers")

NAMESPACE: Final = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
EVENT: Final = Kind("", "v1", "Event", "events")
POD: Final = Kind("", "v1", "Pod", "pods")
VOLUME_CLAIM: Final = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
ENDPOINT_SLICE: Final = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
WEBHOOK_CONFIGURATION: Final = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)
LEASE: Final = Kind("coordination.k8s.io", "v1", "Lease", "leases")

SECRET: Final = Kind("", "v1", "Secret", "secrets")
CONFIG_MAP: Final = Kind("", "v1", "ConfigMap", "configmaps")
SERVICE: Final = Kind("", "v1", "Service", "services")
SERVICE_ACCOUNT: Final = Kind("", "v1", "ServiceAccount", "serviceaccounts")
STATEFUL_SET: Final = Kind("apps", "v1", "StatefulSet", "statefulsets")
DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments")
JOB: Final = Kind("batch", "v1", "Job", "jobs")
AUTOSCALER: Final = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
DISRUPTION_BUDGET: Final = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY: Final = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
INGRESS: Final = Kind("networking.k8s.io", "v1", "Ingress", "ingresses")
HTTP_ROUTE: Final = Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")
SERVICE_MONITOR: Final = Kind("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors")
PROMETHEUS_RULE: Final = Kind("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules")

#: Kinds that a cluster may lack: they come with CustomResourceDefinitions of others.
OPTIONAL_KINDS: Final = (HTTP_ROUTE, SERVICE_MONITOR, PROMETHEUS_RULE)

#: Children that make nothing run by themselves: they are removed as soon as they are not wanted.
EDGE_KINDS: Final = (
    AUTOSCALER,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    INGRESS,
    CONFIG_MAP,
    *OPTIONAL_KINDS,
)

#: Every kind of child. What is of another kind is never deleted, whatever its labels say.
CHILD_KINDS: Final = (
    SERVICE_ACCOUNT,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    JOB,
    DEPLOYMENT,
    *EDGE_KINDS,
)

_KNOWN: Final = {
    (kind.api_version, kind.kind): kind
    for kind in (
        CLAUDE_MEM_SERVER,
        NAMESPACE,
        EVENT,
        POD,
        VOLUME_CLAIM,
        LEASE,
        ENDPOINT_SLICE,
        WEBHOOK_CONFIGURATION,
        *CHILD_KINDS,
    )
}


def ref_of(manifest: Manifest) -> ObjectRef:
    """Where a manifest's object lives. Raises KeyError for an unknown kind, or without a namespace."""
    kind = _KNOWN[manifest["apiVersion"], manifest["kind"]]
    metadata = manifest["metadata"]
    return ObjectRef(kind, metadata["namespace"] if kind.namespaced else None, metadata["name"])
