"""Resources of the kind ClaudeMemServer for tests: the shortest one, changes of it, and what must be refused.

``CASES`` and ``CHANGES`` are asked of the parser and of a real API server alike, which must agree.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from claude_mem_operator.admission.policy import policy_spec
from claude_mem_operator.api import API_VERSION, KIND
from tests.support.kube.kubectl import Kubectl

_ROOT = Path(__file__).parents[2]
SAMPLES = _ROOT / "config" / "samples"
CRD = _ROOT / "crds" / "claude-mem.dev_claudememservers.yaml"
KEY = {"name": "anthropic", "key": "api-key"}
PROVIDER = {"name": "claude", "apiKeySecretRef": KEY}


def sample(name: str) -> dict[str, Any]:
    """A document of config/samples, by its name without `.yaml`."""
    document = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def resource(spec: dict[str, Any] | None = None, *, name: str = "team-memory") -> dict[str, Any]:
    """The shortest resource, with `spec` merged into it; None in it removes a field."""
    whole = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"provider": copy.deepcopy(PROVIDER)},
    }
    merge(whole["spec"], spec or {})
    return whole


def merge(into: Any, changes: dict[str, Any]) -> None:
    """Put `changes` into an object, object by object; a None removes a field."""
    for name, value in changes.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, dict) and isinstance(into.get(name), dict):
            merge(into[name], value)
        else:
            into[name] = copy.deepcopy(value)


def env(component: str, name: str, value: str) -> dict[str, Any]:
    """A spec with one variable of `server` or `worker`."""
    return {component: {"env": [{"name": name, "value": value}]}}


def install_crd(kubectl: Kubectl) -> None:
    """Apply the CRD that is checked in, and wait until the API server serves the resource."""
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(CRD))
    kubectl.wait_until_served("claudememservers.claude-mem.dev")


@dataclass(frozen=True)
class Case:
    """A spec to merge into the shortest one; `path` is the field that must be blamed, None where all is well."""

    name: str
    spec: dict[str, Any]
    path: str | None = None
    resource_name: str = "team-memory"


@dataclass(frozen=True)
class Change:
    """Two specs, and the field that must be blamed when the first becomes the second, None where it may."""

    name: str
    before: dict[str, Any]
    after: dict[str, Any]
    path: str | None = None


def _server(**fields: Any) -> dict[str, Any]:
    return {"server": fields}


def _worker(**fields: Any) -> dict[str, Any]:
    return {"worker": fields}


def _authorities(**fields: Any) -> dict[str, Any]:
    return {
        "postgres": {"external": {**_URL, "caSecretRef": {"name": "authorities", "key": "ca.crt"}, **fields}}
    }


def _postgres(**fields: Any) -> dict[str, Any]:
    return {"postgres": {"managed": fields}}


def _env(**fields: Any) -> dict[str, Any]:
    return _server(env=[{"name": "X", **fields}])


def _scaling(**fields: Any) -> dict[str, Any]:
    return _worker(autoscaling=fields)


def _toleration(**fields: Any) -> dict[str, Any]:
    return _server(tolerations=[fields])


def _requirement(**fields: Any) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": "disk", **fields}]}
    preferred = [{"weight": 1, "preference": term}]
    return _server(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}})


def _spread(**fields: Any) -> dict[str, Any]:
    whole = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", **fields}
    return _server(topologySpreadConstraints=[whole])


def _peer(**fields: Any) -> dict[str, Any]:
    return {"networkPolicy": {"ingressFrom": [fields]}}


_URL = {"urlSecretRef": {"name": "elsewhere", "key": "url"}}
_EXTERNAL = {"managed": None, "external": _URL}
_OTHER = {"name": "gemini", "apiKeySecretRef": KEY}
_SELECTOR = {"matchExpressions": [{"key": "a", "operator": "In"}]}

GOOD = (
    Case("the shortest", {}),
    Case("the longest name", {}, resource_name="a" * 40),
    Case("external stores", {"postgres": {"external": _URL}, "valkey": {"external": _URL}}),
    Case("a database's authorities", _authorities(ssl="verify-ca")),
    Case("authorities for the URL's own mode", _authorities()),
    Case("a queue's authorities", {"valkey": {"external": {**_URL, "caSecretRef": {"name": "a", "key": "b"}}}}),
    Case("a fallback", {"provider": {"fallbacks": [_OTHER]}}),
    Case("nothing running", {**_server(replicas=0), **_worker(replicas=0, autoscaling={"enabled": False})}),
    Case("one worker at least and at most", _scaling(minReplicas=1, maxReplicas=1)),
    Case("an empty value", _env(value="")),
    Case("a variable without a value", _env()),
    Case("a value from a Secret", _env(valueFrom={"secretKeyRef": {"name": "a", "key": "b"}})),
    Case("cpu as a number", _server(resources={"requests": {"cpu": 1}, "limits": {"cpu": "1500m"}})),
    Case("a request equal to the limit", _server(resources={"requests": {"cpu": 1}, "limits": {"cpu": "1"}})),
    Case("a request without a limit", _server(resources={"requests": {"memory": "1Gi"}, "limits": {"cpu": 1}})),
    Case("a device", _worker(resources={"limits": {"example.com/gpu": 1}})),
    Case("a budget as a number", _server(podDisruptionBudget={"minAvailable": 1})),
    Case("a budget as a percentage", _server(podDisruptionBudget={"maxUnavailable": "25%"})),
    Case("everything tolerated", _toleration(operator="Exists")),
    Case("a taint tolerated for a minute", _toleration(key="a", effect="NoExecute", tolerationSeconds=60)),
    Case("nodes with more than one", _requirement(operator="Gt", values=["1"])),
    Case("two ways of spreading", _server(topologySpreadConstraints=[
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"},
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
    ])),
    Case("nobody may connect", {"networkPolicy": {"ingressFrom": []}}),
    Case("all pods may connect", _peer(podSelector={})),
    Case("a port of the node", _server(service={"type": "NodePort", "nodePort": 30877})),
    Case("an image by digest", {"image": "registry.example.com:5000/memory@sha256:" + "0" * 64}),
    Case("a name of one's own for the key", {"bootstrap": {"apiKeySecretName": "postgres-credentials"}}),
    Case("a team in words", {"bootstrap": {"team": "Équipe 東京 (A/B)", "project": "a"}}),
    Case("no limits", {"budgets": {"dailyTokens": 0}, "auth": {"rateLimitPerMinute": 0}}),
    Case("a language", {"generation": {"language": "pt-BR"}}),
)  # fmt: skip

BAD = (
    Case("a name too long", {}, "metadata.name", resource_name="a" * 41),
    Case("a name that is no label", {}, "metadata.name", resource_name="team.memory"),
    Case("a name that begins with a digit", {}, "metadata.name", resource_name="1team"),
    Case("no provider", {"provider": None}, "spec.provider"),
    Case("an unknown provider", {"provider": {"name": "offline"}}, "spec.provider.name"),
    Case("no key", {"provider": {"apiKeySecretRef": None}}, "spec.provider.apiKeySecretRef"),
    Case("a base URL of another kind", {"provider": {"baseUrl": "ftp://host"}}, "spec.provider.baseUrl"),
    Case("a base URL with a password", {"provider": {"baseUrl": "https://a:b@host"}}, "spec.provider.baseUrl"),
    Case("a model with a comma", {"provider": {"model": "a,b"}}, "spec.provider.model"),
    Case("the provider as its own fallback", {"provider": {"fallbacks": [PROVIDER]}}, "spec.provider.fallbacks"),
    Case("a fallback twice", {"provider": {"fallbacks": [_OTHER, _OTHER]}}, "spec.provider.fallbacks"),
    Case("neither managed nor external", {"postgres": {}}, "spec.postgres"),
    Case("both managed and external", {"postgres": {"managed": {}, "external": _URL}}, "spec.postgres"),
    Case("no Valkey", {"valkey": {}}, "spec.valkey"),
    Case("two Valkeys", {"valkey": {"managed": {}, "external": _URL}}, "spec.valkey"),
    Case("an unknown TLS mode", {"postgres": {"external": {**_URL, "ssl": "on"}}}, "spec.postgres.external.ssl"),
    Case("authorities that nobody asks", _authorities(ssl="require"), "spec.postgres.external.ssl"),
    Case("no storage", _postgres(storage="0"), "spec.postgres.managed.storage"),
    Case("storage below nothing", _postgres(storage="-1Gi"), "spec.postgres.managed.storage"),
    Case("storage that is no quantity", _postgres(storage="10 gigabytes"), "spec.postgres.managed.storage"),
    Case("an unknown pull policy", {"imagePullPolicy": "Sometimes"}, "spec.imagePullPolicy"),
    Case("an image with a space", {"image": "claude mem"}, "spec.image"),
    Case("a pull secret twice", {"imagePullSecrets": [{"name": "a"}, {"name": "a"}]}, "spec.imagePullSecrets"),
    Case("fewer than no replicas", _server(replicas=-1), "spec.server.replicas"),
    Case("too many replicas", _worker(replicas=1001), "spec.worker.replicas"),
    Case("replicas in words", _server(replicas="two"), "spec.server.replicas"),
    Case("half a replica", _server(replicas=0.5), "spec.server.replicas"),
    Case("no concurrency", _worker(concurrency=0), "spec.worker.concurrency"),
    Case("too much concurrency", _worker(concurrency=257), "spec.worker.concurrency"),
    Case("no grace", _worker(terminationGracePeriodSeconds=0), "spec.worker.terminationGracePeriodSeconds"),
    Case("no worker at least", _scaling(minReplicas=0), "spec.worker.autoscaling.minReplicas"),
    Case("more at least than at most", _scaling(minReplicas=9), "spec.worker.autoscaling.minReplicas"),
    Case("no CPU", _scaling(targetCPUUtilizationPercentage=0), "spec.worker.autoscaling.targetCPUUtilizationPercentage"),
    Case("an endless window", _scaling(behavior={"scaleDown": {"stabilizationWindowSeconds": 3601}}),
         "spec.worker.autoscaling.behavior.scaleDown.stabilizationWindowSeconds"),
    Case("a value and a source", _env(value="a", valueFrom={"fieldRef": {"fieldPath": "metadata.name"}}),
         "spec.server.env[0].valueFrom"),
    Case("an empty source", _env(valueFrom={}), "spec.server.env[0].valueFrom"),
    Case("two sources", _env(valueFrom={"fieldRef": {"fieldPath": "metadata.name"},
                                        "secretKeyRef": {"name": "a", "key": "b"}}), "spec.server.env[0].valueFrom"),
    Case("a value that is a number", _env(value=1), "spec.server.env[0].value"),
    Case("a variable twice", _worker(env=[{"name": "A"}, {"name": "A", "value": "b"}]), "spec.worker.env"),
    Case("a variable with an equals sign", _worker(env=[{"name": "A=B"}]), "spec.worker.env[0].name"),
    Case("a request above the limit", _server(resources={"requests": {"memory": "1Gi"}, "limits": {"memory": "900Mi"}}),
         "spec.server.resources.requests"),
    Case("a quantity in words", _server(resources={"limits": {"memory": "much"}}), "spec.server.resources.limits.memory"),
    Case("two budgets", _server(podDisruptionBudget={"minAvailable": 1, "maxUnavailable": 1}),
         "spec.server.podDisruptionBudget.maxUnavailable"),
    Case("more than all", _worker(podDisruptionBudget={"minAvailable": "101%"}),
         "spec.worker.podDisruptionBudget.minAvailable"),
    Case("fewer than none", _worker(podDisruptionBudget={"minAvailable": -1}),
         "spec.worker.podDisruptionBudget.minAvailable"),
    Case("a taint without a name", _toleration(effect="NoSchedule"), "spec.server.tolerations[0].operator"),
    Case("any value, and this one", _toleration(key="a", operator="Exists", value="b"), "spec.server.tolerations[0].value"),
    Case("a time without an end", _toleration(key="a", tolerationSeconds=1),
         "spec.server.tolerations[0].tolerationSeconds"),
    Case("an unknown effect", _toleration(key="a", effect="Never"), "spec.server.tolerations[0].effect"),
    Case("In without values", _requirement(operator="In"), "values"),
    Case("Exists with values", _requirement(operator="Exists", values=["a"]), "values"),
    Case("Gt with two values", _requirement(operator="Gt", values=["1", "2"]), "values"),
    Case("least places, loosely", _spread(minDomains=2), "spec.server.topologySpreadConstraints[0].minDomains"),
    Case("no skew", _spread(maxSkew=0), "spec.server.topologySpreadConstraints[0].maxSkew"),
    Case("a spread twice", _server(topologySpreadConstraints=[
        {"maxSkew": skew, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"} for skew in (1, 2)
    ]), "spec.server.topologySpreadConstraints"),
    Case("the operator's label", _server(podLabels={"app.kubernetes.io/name": "x"}), "spec.server.podLabels"),
    Case("the operator's annotation", _postgres(podAnnotations={"claude-mem.dev/applied": "x"}),
         "spec.postgres.managed.podAnnotations"),
    Case("a peer that is nobody", _peer(), "spec.networkPolicy.ingressFrom[0]"),
    Case("a peer that is two", _peer(podSelector={}, ipBlock={"cidr": "10.0.0.0/8"}), "spec.networkPolicy.ingressFrom[0]"),
    Case("a selector without values", _peer(podSelector=_SELECTOR), "values"),
    Case("a node's port of a ClusterIP", _server(service={"nodePort": 30877}), "spec.server.service.nodePort"),
    Case("an ingress without a host", _server(ingress={"path": "/"}), "spec.server.ingress.host"),
    Case("a relative path", _server(ingress={"host": "a.example.com", "path": "memory"}), "spec.server.ingress.path"),
    Case("a route to nowhere", _server(httpRoute={"parentRefs": []}), "spec.server.httpRoute.parentRefs"),
    Case("a URL without a host", _server(publicUrl="https://"), "spec.server.publicUrl"),
    Case("an origin with a path", {"auth": {"corsOrigins": ["https://a.example.com/x"]}}, "spec.auth.corsOrigins[0]"),
    Case("a budget below nothing", {"budgets": {"monthlyTokens": -1}}, "spec.budgets.monthlyTokens"),
    Case("a language in words", {"generation": {"language": "very plain English"}}, "spec.generation.language"),
    Case("an unknown level", {"log": {"level": "LOUD"}}, "spec.log.level"),
    Case("a duration without a unit", {"monitoring": {"interval": "30"}}, "spec.monitoring.interval"),
    Case("an unknown deletion policy", {"deletionPolicy": "Archive"}, "spec.deletionPolicy"),
    Case("a team with a space behind it", {"bootstrap": {"team": "default "}}, "spec.bootstrap.team"),
    Case("a team with a wide space before it", {"bootstrap": {"team": "\u3000default"}}, "spec.bootstrap.team"),
    Case("a project on two lines", {"bootstrap": {"project": "a\nb"}}, "spec.bootstrap.project"),
    Case("a project with what is not seen", {"bootstrap": {"project": "a\u200bb"}}, "spec.bootstrap.project"),
    Case("the operator's own Secret", {"bootstrap": {"apiKeySecretName": "team-memory-postgres-credentials"}},
         "spec.bootstrap.apiKeySecretName"),
)  # fmt: skip

CHANGES = (
    Change("growth", _postgres(storage="1Gi"), _postgres(storage="1025Mi")),
    Change("the same in other words", _postgres(storage="1Gi"), _postgres(storage="1024Mi")),
    Change("PostgreSQL shrinks", _postgres(storage="1Gi"), _postgres(storage="1023Mi"), "spec.postgres.managed.storage"),
    Change("it shrinks to the default", _postgres(storage="11Gi"), {}, "spec.postgres.managed.storage"),
    Change("Valkey shrinks", {}, {"valkey": {"managed": {"storage": "1Mi"}}}, "spec.valkey.managed.storage"),
    Change("a class is named", {}, _postgres(storageClassName="a"), "spec.postgres.managed.storageClassName"),
    Change("a class is left out", _postgres(storageClassName="a"), {}, "spec.postgres.managed.storageClassName"),
    Change("a class is changed", _postgres(storageClassName="a"), _postgres(storageClassName="b"),
           "spec.postgres.managed.storageClassName"),
    Change("a class stays", _postgres(storageClassName="a"), _postgres(storageClassName="a", storage="20Gi")),
    Change("PostgreSQL moves out", {}, {"postgres": _EXTERNAL}, "spec.postgres"),
    Change("PostgreSQL moves in", {"postgres": _EXTERNAL}, {}, "spec.postgres"),
    Change("Valkey moves out", {}, {"valkey": _EXTERNAL}),
    Change("Valkey moves in", {"valkey": _EXTERNAL}, {"valkey": {"managed": {"storage": "1Mi"}}}),
    Change("another database", {"postgres": _EXTERNAL},
           {"postgres": {"external": {"urlSecretRef": {"name": "b", "key": "c"}}}}),
)  # fmt: skip


def policy() -> tuple[dict[str, Any], dict[str, Any]]:
    """The admission policy and what puts it into force, without a chart."""
    metadata = {"name": "claudememservers"}
    kind, version = "ValidatingAdmissionPolicy", "admissionregistration.k8s.io/v1"
    spec = {"policyName": metadata["name"], "validationActions": ["Deny"]}
    return (
        {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": policy_spec()},
        {"apiVersion": version, "kind": f"{kind}Binding", "metadata": metadata, "spec": spec},
    )


#: Component, variable and value: literal variables that the admission policy refuses, and some that it takes.
POLICY_REFUSES = [
    ("server", "CLAUDE_MEM_RUNTIME", "worker"),
    ("worker", "CLAUDE_MEM_RUNTIME", "Server"),
    ("worker", "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS", "1"),
    ("server", "CLAUDE_MEM_QUEUE_ENGINE", "kafka"),
    ("server", "CLAUDE_MEM_SERVER_PROVIDER", "OFFLINE"),
    ("worker", "CLAUDE_MEM_SERVER_DATABASE_URL", "postgresql://:b@host/db"),
    ("server", "CLAUDE_MEM_REDIS_URL", "rediss://a:$b@host/0"),
    ("server", "CLAUDE_MEM_AUTH_MODE", "local-dev"),
    ("worker", "CLAUDE_MEM_AUTH_MODE", " Local-Dev "),
    ("server", "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS", "TRUE"),
    ("worker", "CLAUDE_MEM_QUEUE_ENGINE", "sqlite"),
    ("server", "CLAUDE_MEM_GENERATION_DISABLED", "false"),
    ("server", "CLAUDE_MEM_GENERATION_DISABLED", ""),
    ("worker", "CLAUDE_MEM_SERVER_PROVIDER", "offline"),
    ("worker", "CLAUDE_MEM_SERVER_PROVIDER", "llama"),
    ("server", "CLAUDE_MEM_SERVER_DATABASE_URL", "postgres://a:b@host/db"),
    ("worker", "CLAUDE_MEM_REDIS_URL", "redis://:b@host/0"),
    ("server", "CLAUDE_MEM_SERVER_PORT", "80"),
    ("server", "CLAUDE_MEM_SERVER_HOST", "::1"),
    ("server", "CLAUDE_MEM_DATA_DIR", "/data"),
    ("worker", "CLAUDE_MEM_DATA_DIR", "/data"),
]
POLICY_TAKES = [
    ("server", "CLAUDE_MEM_RUNTIME", ""),
    ("server", "CLAUDE_MEM_RUNTIME", "server-beta"),
    ("server", "CLAUDE_MEM_AUTH_MODE", "api-key"),
    ("server", "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS", "0"),
    ("worker", "CLAUDE_MEM_QUEUE_ENGINE", "BullMQ"),
    ("worker", "CLAUDE_MEM_GENERATION_DISABLED", "false"),
    ("server", "CLAUDE_MEM_GENERATION_DISABLED", "1"),
    ("worker", "CLAUDE_MEM_SERVER_PROVIDER", "Anthropic"),
    ("server", "CLAUDE_MEM_SERVER_DATABASE_URL", "postgres://a:$(PGPASSWORD)@host/db"),
    ("server", "CLAUDE_MEM_SERVER_DATABASE_URL", "postgres://a@host/db"),
    ("server", "CLAUDE_MEM_LOG_LEVEL", "LOUD"),
]
