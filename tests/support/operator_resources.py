"""ClaudeMemServers for the operator's tests: the shortest one, and ones in which every field is set."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from claude_mem_operator.api import ClaudeMemServer
from claude_mem_operator.desired import (
    EXTERNAL_METRICS,
    HTTP_ROUTE,
    PROMETHEUS_RULE,
    SERVICE_MONITOR,
    Defaults,
    Inputs,
    SecretKind,
)

Json = dict[str, Any]

DEFAULTS = Defaults(
    runtime_image="registry.example.com/claude-mem-runtime:1.0.0",
    postgres_image="docker.io/library/postgres:17",
    valkey_image="docker.io/valkey/valkey:8",
)
EVERYTHING = frozenset({EXTERNAL_METRICS, HTTP_ROUTE, PROMETHEUS_RULE, SERVICE_MONITOR})
SECRETS = {
    SecretKind.POSTGRES_PASSWORD: "postgresPassword0",
    SecretKind.VALKEY_PASSWORD: "valkeyPassword0",
    SecretKind.API_KEY: "cmem_" + "0" * 48,
}

_TERMS = [
    {
        "matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}],
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}],
    }
]
_SELECTOR = {
    "matchLabels": {"app": "agents"},
    "matchExpressions": [{"key": "tier", "operator": "In", "values": ["one", "two"]}],
}
_NEAR = {
    "topologyKey": "kubernetes.io/hostname",
    "labelSelector": _SELECTOR,
    "namespaces": ["elsewhere"],
    "namespaceSelector": _SELECTOR,
}
_AFFINITY = {
    "requiredDuringSchedulingIgnoredDuringExecution": [_NEAR],
    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "podAffinityTerm": _NEAR}],
}
_SCHEDULING = {
    "nodeSelector": {"pool": "memory"},
    "tolerations": [
        {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 60},
        {"key": "c", "operator": "Exists", "effect": "NoSchedule"},
    ],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": _TERMS},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "preference": _TERMS[0]}],
        },
        "podAffinity": _AFFINITY,
        "podAntiAffinity": _AFFINITY,
    },
    "priorityClassName": "important",
    "podAnnotations": {"example.com/team": "memory"},
    "podLabels": {"team": "memory"},
}
_SPREAD = {
    "topologySpreadConstraints": [
        {
            "maxSkew": 2,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": _SELECTOR,
            "minDomains": 2,
            "nodeAffinityPolicy": "Honor",
            "nodeTaintsPolicy": "Ignore",
            "matchLabelKeys": ["pod-template-hash"],
        },
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},
    ]
}
_RESOURCES = {
    "requests": {"cpu": "200m", "memory": "300Mi"},
    "limits": {"cpu": "2", "memory": "2Gi"},
}
_ENV = [
    {"name": "EXTRA", "value": "extra"},
    {
        "name": "FROM_SECRET",
        "valueFrom": {"secretKeyRef": {"name": "extra", "key": "one", "optional": True}},
    },
    {
        "name": "FROM_MAP",
        "valueFrom": {"configMapKeyRef": {"name": "extra", "key": "two", "optional": True}},
    },
    {"name": "NODE", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.hostIP"}}},
    {
        "name": "CORES",
        "valueFrom": {"resourceFieldRef": {"containerName": "x", "resource": "limits.cpu", "divisor": "1"}},
    },
]
_STORE = {
    **_SCHEDULING,
    "storage": "20Gi",
    "storageClassName": "fast",
    "image": "registry.example.com/store:1",
    "imagePullPolicy": "Always",
    "resources": _RESOURCES,
}

FULL: Json = {
    "image": "registry.example.com/runtime:2",
    "imagePullPolicy": "Always",
    "imagePullSecrets": [{"name": "pull"}],
    "provider": {
        "name": "claude",
        "model": "claude-sonnet-5",
        "baseUrl": "https://gateway.example.com/claude",
        "apiKeySecretRef": {"name": "anthropic", "key": "api-key"},
        "fallbacks": [
            {
                "name": "gemini",
                "model": "gemini-flash-latest",
                "baseUrl": "https://gateway.example.com/gemini",
                "apiKeySecretRef": {"name": "google", "key": "api-key"},
            }
        ],
    },
    "bootstrap": {"team": "platform", "project": "monorepo", "apiKeySecretName": "team-key"},
    "postgres": {"managed": _STORE},
    "valkey": {"managed": _STORE},
    "server": {
        **_SCHEDULING,
        **_SPREAD,
        "replicas": 3,
        "resources": _RESOURCES,
        "env": _ENV,
        "podDisruptionBudget": {"enabled": True, "minAvailable": 2},
        "publicUrl": "https://memory.example.com",
        "service": {"type": "NodePort", "annotations": {"example.com/lb": "internal"}, "nodePort": 30877},
        "ingress": {
            "host": "memory.example.com",
            "className": "nginx",
            "path": "/memory",
            "annotations": {"cert-manager.io/issuer": "letsencrypt"},
            "tlsSecretName": "memory-tls",
        },
        "httpRoute": {
            "parentRefs": [{"name": "gateway", "namespace": "gateways", "sectionName": "https"}],
            "hostnames": ["memory.example.com"],
        },
        "terminationGracePeriodSeconds": 40,
    },
    "worker": {
        **_SCHEDULING,
        **_SPREAD,
        "replicas": 2,
        "concurrency": 16,
        "resources": _RESOURCES,
        "env": _ENV,
        "podDisruptionBudget": {"enabled": True, "maxUnavailable": "30%"},
        "autoscaling": {
            "enabled": True,
            "minReplicas": 2,
            "maxReplicas": 5,
            "targetCPUUtilizationPercentage": 60,
            "targetMemoryUtilizationPercentage": 80,
            "targetQueueDepth": 50,
            "targetQueueAgeSeconds": 30,
            "behavior": {
                direction: {
                    "stabilizationWindowSeconds": 60,
                    "selectPolicy": "Min",
                    "policies": [{"type": "Pods", "value": 2, "periodSeconds": 30}],
                }
                for direction in ("scaleUp", "scaleDown")
            },
        },
        "terminationGracePeriodSeconds": 90,
    },
    "auth": {
        "rateLimitPerMinute": 600,
        "failuresPerMinute": 30,
        "corsOrigins": ["https://app.example.com"],
    },
    "budgets": {"dailyTokens": 1000000, "monthlyRequests": 50000, "monthlyTokens": 9000000},
    "generation": {"mode": "research", "language": "de"},
    "log": {"level": "DEBUG", "format": "text"},
    "networkPolicy": {
        "enabled": True,
        "ingressFrom": [
            {"podSelector": _SELECTOR, "namespaceSelector": _SELECTOR},
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
        ],
    },
    "monitoring": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}},
    "deletionPolicy": "Delete",
    "paused": False,
}


def elsewhere() -> Json:
    """A spec with the other half of what excludes something in `FULL`: stores elsewhere, and no autoscaler."""
    spec = copy.deepcopy(FULL)
    reference: Json = {"urlSecretRef": {"name": "stores", "key": "postgres"}, "ssl": "verify-full"}
    reference["caSecretRef"] = {"name": "stores", "key": "ca.crt"}
    spec["postgres"] = {"external": reference}
    spec["valkey"] = {
        "external": {
            "urlSecretRef": {"name": "stores", "key": "valkey"},
            "caSecretRef": {"name": "stores", "key": "valkey-ca.crt"},
        }
    }
    spec["worker"]["autoscaling"] = {"enabled": False}
    spec["server"]["podDisruptionBudget"] = {"enabled": True, "maxUnavailable": 1}
    spec["worker"]["podDisruptionBudget"] = {"enabled": True, "minAvailable": 1}
    return spec


SHORTEST: Json = {"provider": {"name": "claude", "apiKeySecretRef": {"name": "anthropic", "key": "api-key"}}}


def resource(spec: Json | None = None, *, namespace: str = "agents", **metadata: Any) -> ClaudeMemServer:
    """A resource; `metadata` is more of it, or other, than its usual name and uid."""
    return ClaudeMemServer.parse(
        {
            "apiVersion": "claude-mem.dev/v1alpha1",
            "kind": "ClaudeMemServer",
            "metadata": {
                "name": "team-memory",
                "namespace": namespace,
                "uid": "0b3e7c52-6e0f-4a53-9f0a-3f1b8d1f2c11",
                "generation": 1,
                **metadata,
            },
            "spec": SHORTEST if spec is None else spec,
        }
    )


def inputs(given: ClaudeMemServer | None = None, **changes: Any) -> Inputs:
    """Inputs on a cluster that serves everything, with secrets that are always the same."""
    usual: Mapping[str, Any] = {"capabilities": EVERYTHING, "new_secret": SECRETS.__getitem__}
    return Inputs(resource=given or resource(), defaults=DEFAULTS, **{**usual, **changes})
