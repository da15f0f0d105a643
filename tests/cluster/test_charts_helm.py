"""The charts as Helm renders them: every choice, and what it refuses."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from claude_mem_operator.config import Config, WebhookMode
from hack import generate_charts
from tests.support.helm import DEFINITIONS, OPERATOR, Helm, HelmError, find
from tests.support.kube.scripts import ENVIRONMENT, ROOT

NAME = "claude-mem-operator"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def environment(manifests: list[dict[str, Any]]) -> Config:
    """What the operator makes of the environment that the chart gives it."""
    (container,) = find(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return Config.read({one["name"]: one.get("value", "x") for one in container["env"]})


def kinds(manifests: list[dict[str, Any]]) -> set[str]:
    return {one["kind"] for one in manifests}


@pytest.mark.parametrize("chart", [OPERATOR, DEFINITIONS], ids=lambda chart: chart.name)
def test_lint_finds_nothing(helm: Helm, chart: Path) -> None:
    assert "[WARNING]" not in helm("lint", str(chart), "--strict")


def test_the_checked_in_manifest_is_what_helm_renders(helm: Helm) -> None:
    program = ROOT / "hack" / "install-manifest"
    rendered = subprocess.run([program], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    checked_in = (ROOT / "config" / "install.yaml").read_text()
    assert rendered.stdout == checked_in, "config/install.yaml is stale: run make install-manifest"


def test_definitions_are_kept_unless_told_otherwise(helm: Helm) -> None:
    for path in (ROOT / "crds").glob("*.yaml"):
        definition = yaml.safe_load(path.read_text())
        name = definition["metadata"]["name"]
        kept = find(helm.render(DEFINITIONS), "CustomResourceDefinition", name)
        assert kept["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert kept["spec"] == definition["spec"]
        given_up = find(helm.render(DEFINITIONS, {"keep": False}), "CustomResourceDefinition", name)
        assert "annotations" not in given_up["metadata"]
        assert given_up["spec"] == definition["spec"]


@pytest.mark.parametrize("version", ["1.29.14", "1.27.0"])
def test_an_old_kubernetes_is_refused_in_words(helm: Helm, version: str) -> None:
    with pytest.raises(HelmError, match=rf"needs Kubernetes 1\.30 or newer, and this cluster has v{version}"):
        helm.render(OPERATOR, kubernetes=version)


@pytest.mark.parametrize("version", ["1.30.0", "1.34.4", "1.30.0-gke.100", "1.30.0-eks-036c24b"])
def test_new_ones_are_accepted_also_with_a_vendors_suffix(helm: Helm, version: str) -> None:
    assert helm.render(OPERATOR, kubernetes=version)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicas": 3}, "replicas"),
        ({"replicaCount": 0}, "replicaCount"),
        ({"replicaCount": "two"}, "replicaCount"),
        ({"image": {"digest": "sha256:short"}}, "image/digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "image/pullPolicy"),
        ({"workloads": {"images": {"mysql": {}}}}, "mysql"),
        ({"workloads": {"env": {"PORT": 1}}}, "workloads/env"),
        ({"watchNamespaces": "team-a"}, "watchNamespaces"),
        ({"watchNamespaces": ["Team A"]}, "watchNamespaces"),
        ({"log": {"level": "chatty"}}, "log/level"),
        ({"webhook": {"failurePolicy": "fail"}}, "webhook/failurePolicy"),
        ({"webhook": {"timeoutSeconds": 31}}, "webhook/timeoutSeconds"),
        ({"webhook": {"certificate": {"source": "letsencrypt"}}}, "webhook/certificate/source"),
        ({"leaseSeconds": 1}, "leaseSeconds"),
        ({"networkPolicy": {"apiServerPorts": [0]}}, "networkPolicy/apiServerPorts"),
        ({"metrics": {"prometheusRule": {"labels": {"release": 1}}}}, "metrics/prometheusRule/labels"),
        ({"metrics": {"dashboard": {"enabled": "yes"}}}, "metrics/dashboard/enabled"),
    ],
)
def test_wrong_values_are_refused_by_name(helm: Helm, values: dict[str, Any], named: str) -> None:
    with pytest.raises(HelmError, match=named):
        helm.render(OPERATOR, values)


#: Another value than the default, by the default's type, and for values that take only some.
OTHERS: dict[type, Any] = {str: "other", int: 11, list: [{"name": "other"}], dict: {"other": "text"}}
PARTICULAR: dict[str, Any] = {
    "image.digest": DIGEST,
    "image.pullPolicy": "Always",
    "workloads.images.runtime.digest": DIGEST,
    "workloads.images.postgres.digest": DIGEST,
    "workloads.images.valkey.digest": DIGEST,
    "watchNamespaces": ["team-a"],
    "log.level": "DEBUG",
    "log.format": "text",
    "webhook.failurePolicy": "Ignore",
    "webhook.certificate.source": "cert-manager",
    "networkPolicy.apiServerPorts": [8443],
    "metrics.serviceMonitor.interval": "5s",
}
#: What a value needs beside it to matter.
BESIDE: dict[str, dict[str, Any]] = {
    "webhook.certificate.secretName": {"source": "provided", "caBundle": "pem"},
    "webhook.certificate.caBundle": {"source": "provided", "secretName": "theirs"},
    "webhook.certificate.issuerRef": {"source": "cert-manager"},
    "metrics.serviceMonitor.interval": {"enabled": True},
    "metrics.serviceMonitor.labels": {"enabled": True},
    "metrics.prometheusRule.labels": {"enabled": True},
    "metrics.dashboard.labels": {"enabled": True},
}
#: Where the default is not one that goes with what is beside it.
FIRST = {"webhook.certificate.secretName": "first", "webhook.certificate.caBundle": "first"}


def test_every_value_reaches_an_object(helm: Helm) -> None:
    """A value that changes nothing that is rendered does not do what it says."""
    defaults = helm.render(OPERATOR)
    for value in generate_charts.values(OPERATOR):
        kind = type(value.default)
        other = not value.default if kind is bool else PARTICULAR.get(value.name, OTHERS.get(kind))
        beside = BESIDE.get(value.name, {})
        first = FIRST.get(value.name, value.default)
        before = helm.render(OPERATOR, nested(value.name, first, beside)) if beside else defaults
        assert helm.render(OPERATOR, nested(value.name, other, beside)) != before, value.name


def nested(name: str, value: Any, siblings: dict[str, Any]) -> dict[str, Any]:
    *blocks, key = name.split(".")
    whole: dict[str, Any] = {**siblings, key: value}
    for block in reversed(blocks):
        whole = {block: whole}
    return whole


def test_images_go_by_tag_or_by_digest(helm: Helm) -> None:
    manifests = helm.render(
        OPERATOR,
        {
            "image": {"repository": "registry.example.com/operator", "digest": DIGEST, "tag": "ignored"},
            "workloads": {
                "images": {
                    "runtime": {"repository": "registry.example.com/runtime", "tag": "1.2.3"},
                    "postgres": {"digest": DIGEST},
                }
            },
        },
    )
    (container,) = find(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    config = environment(manifests)
    assert container["image"] == f"registry.example.com/operator@{DIGEST}"
    assert config.runtime_image == "registry.example.com/runtime:1.2.3"
    assert config.postgres_image == f"docker.io/library/postgres@{DIGEST}"
    assert config.valkey_image == "docker.io/valkey/valkey:8"


def test_settings_reach_the_operator(helm: Helm) -> None:
    manifests = helm.render(
        OPERATOR,
        {
            "workloads": {"env": {"HTTPS_PROXY": 'http://proxy:3128/?a="b"'}},
            "log": {"level": "DEBUG", "format": "text"},
            "leaseSeconds": 30,
            "clusterDomain": "corp.example",
        },
    )
    config = environment(manifests)
    assert config.workload_environment == {"HTTPS_PROXY": 'http://proxy:3128/?a="b"'}
    assert (config.log_level, config.log_format, config.lease_s) == ("DEBUG", "text", 30)
    assert config.cluster_domain == "corp.example"


def test_with_namespaces_there_are_roles_only(helm: Helm) -> None:
    selector = {"matchLabels": {"checked": "yes"}}
    manifests = helm.render(
        OPERATOR, {"watchNamespaces": ["team-a", "team-b"], "webhook": {"namespaceSelector": selector}}
    )
    config = environment(manifests)
    assert config.namespaces == ("team-a", "team-b")
    own = [one for one in manifests if one["kind"] == "ClusterRole"]
    assert {one["metadata"]["name"] for one in own} == {
        f"{NAME}-{part}" for part in ("webhook", "view", "edit")
    }
    for namespace in ("team-a", "team-b"):
        (role,) = (
            one for one in manifests if one["kind"] == "Role" and one["metadata"]["namespace"] == namespace
        )
        cluster = find(helm.render(OPERATOR), "ClusterRole", NAME)
        assert role["rules"][:-1] == cluster["rules"][:-1]
        assert role["rules"][-1]["resourceNames"] == [namespace]
        (binding,) = (
            one
            for one in manifests
            if one["kind"] == "RoleBinding" and one["metadata"]["namespace"] == namespace
        )
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": NAME, "namespace": "claude-mem-system"}
        ]
    only = {
        "key": "kubernetes.io/metadata.name",
        "operator": "In",
        "values": ["team-a", "team-b"],
    }
    (webhook,) = find(manifests, "ValidatingWebhookConfiguration")["webhooks"]
    assert webhook["namespaceSelector"] == {**selector, "matchExpressions": [only]}
    binding = find(manifests, "ValidatingAdmissionPolicyBinding")["spec"]
    assert binding["matchResources"]["namespaceSelector"] == {"matchExpressions": [only]}


def test_cert_manager_takes_the_place_of_the_operators_authority(helm: Helm) -> None:
    manifests = helm.render(OPERATOR, {"webhook": {"certificate": {"source": "cert-manager"}}})
    config = environment(manifests)
    assert config.webhook is WebhookMode.PROVIDED
    leaf = find(manifests, "Certificate", f"{NAME}-webhook")["spec"]
    assert leaf["secretName"] == config.webhook_secret
    assert f"{config.webhook_service}.claude-mem-system.svc" in leaf["dnsNames"]
    assert leaf["issuerRef"] == {"kind": "Issuer", "name": f"{NAME}-webhook"}
    assert find(manifests, "Certificate", f"{NAME}-webhook-ca")["spec"]["isCA"]
    configuration = find(manifests, "ValidatingWebhookConfiguration")
    assert configuration["metadata"]["annotations"] == {
        "cert-manager.io/inject-ca-from": f"claude-mem-system/{NAME}-webhook"
    }
    assert "Secret" not in kinds(manifests)
    assert f"{NAME}-webhook" not in {
        one["metadata"]["name"] for one in manifests if one["kind"] == "ClusterRole"
    }
    (secrets,) = (rule for rule in find(manifests, "Role", NAME)["rules"] if rule["resources"] == ["secrets"])
    assert secrets["verbs"] == ["get"]


def test_an_issuer_of_ones_own_is_asked_alone(helm: Helm) -> None:
    issuer = {"kind": "ClusterIssuer", "name": "corporate"}
    manifests = helm.render(
        OPERATOR, {"webhook": {"certificate": {"source": "cert-manager", "issuerRef": issuer}}}
    )
    assert find(manifests, "Certificate")["spec"]["issuerRef"] == issuer
    assert "Issuer" not in kinds(manifests)


def test_a_provided_certificate_comes_with_its_authority(helm: Helm) -> None:
    certificate = {"source": "provided", "secretName": "theirs", "caBundle": "-----BEGIN CERTIFICATE-----"}
    manifests = helm.render(OPERATOR, {"webhook": {"certificate": certificate}})
    config = environment(manifests)
    assert (config.webhook, config.webhook_secret) == (WebhookMode.PROVIDED, "theirs")
    (webhook,) = find(manifests, "ValidatingWebhookConfiguration")["webhooks"]
    assert base64.b64decode(webhook["clientConfig"]["caBundle"]).decode() == certificate["caBundle"]


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ({"source": "provided"}, "give webhook.certificate.secretName"),
        ({"source": "provided", "secretName": "theirs"}, "caBundle"),
        ({"source": "own", "secretName": "theirs"}, "are for source provided only"),
    ],
)
def test_half_a_certificate_is_refused_in_words(helm: Helm, certificate: dict[str, Any], reason: str) -> None:
    with pytest.raises(HelmError, match=reason):
        helm.render(OPERATOR, {"webhook": {"certificate": certificate}})


def test_without_a_webhook_nothing_of_it_is_left(helm: Helm) -> None:
    manifests = helm.render(OPERATOR, {"webhook": {"enabled": False}}, hooks=True)
    assert environment(manifests).webhook is WebhookMode.OFF
    assert not {"ValidatingWebhookConfiguration", "Secret", "Pod", "Certificate"} & kinds(manifests)
    assert [one["metadata"]["name"] for one in manifests if one["kind"] == "Service"] == [f"{NAME}-metrics"]
    assert "secrets" not in {
        name for rule in find(manifests, "Role", NAME)["rules"] for name in rule["resources"]
    }
    assert "ValidatingAdmissionPolicy" in kinds(manifests)


def test_alerts_and_dashboard_are_for_this_installation_and_made_where_they_are_asked_for(helm: Helm) -> None:
    assert not {"PrometheusRule", "ConfigMap", "ServiceMonitor"} & kinds(helm.render(OPERATOR))
    values = {
        "metrics": {
            "serviceMonitor": {"enabled": True},
            "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
            "dashboard": {"enabled": True, "labels": {"folder": "memory"}},
        }
    }
    manifests = helm.render(OPERATOR, values, release="team", namespace="elsewhere")
    rule, dashboard = find(manifests, "PrometheusRule"), find(manifests, "ConfigMap")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert {"grafana_dashboard": "1", "folder": "memory"}.items() <= dashboard["metadata"]["labels"].items()
    (name,) = dashboard["data"]
    assert json.loads(dashboard["data"][name])["panels"]
    # As the ServiceMonitor's series have them: the Service's namespace, and its name.
    (service,) = (
        one for one in manifests if one["kind"] == "Service" and "metrics" in one["metadata"]["name"]
    )
    where = f'namespace="elsewhere",job="{service["metadata"]["name"]}"'
    for one in rule["spec"]["groups"][0]["rules"]:
        assert where in one["expr"]
        assert "__" not in json.dumps(one)
    assert where in json.loads(dashboard["data"][name])["panels"][0]["targets"][0]["expr"]
    selected = find(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert selected.items() <= service["metadata"]["labels"].items()


def test_the_notes_lead_to_a_memory_that_is_looked_after(helm: Helm) -> None:
    def steps(values: dict[str, Any]) -> list[str]:
        options = ["--dry-run=client", "--namespace", "claude-mem-system"]
        text = helm("install", "claude-mem-operator", str(OPERATOR), *options, values=values)
        notes = text.partition("\nNOTES:\n")[2].splitlines()
        return [line.strip() for line in notes if line.strip().startswith(("kubectl", "spec", "imagePull"))]

    ready, create, apply, spec, wait = steps({})
    assert ready.startswith("kubectl --namespace claude-mem-system rollout status")
    assert [line.split()[1] for line in (create, apply, wait)] == ["create", "apply", "wait"]
    assert spec == "spec:"
    _, *lines = steps({"watchNamespaces": ["team-a", "team-b"], "imagePullSecrets": [{"name": "registry"}]})
    assert sum(line.startswith("kubectl --namespace team-a ") for line in lines) == 3
    assert 'imagePullSecrets: [{"name":"registry"}]' in " ".join(lines)


def test_a_single_replica_can_be_drained(helm: Helm) -> None:
    assert "PodDisruptionBudget" not in kinds(helm.render(OPERATOR, {"replicaCount": 1}))


def test_two_installations_have_names_of_their_own(helm: Helm) -> None:
    cluster_wide = {"ClusterRole", "ClusterRoleBinding", "ValidatingWebhookConfiguration"}
    cluster_wide |= {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    names = [
        {
            (one["kind"], one["metadata"]["name"])
            for one in helm.render(OPERATOR, release=release)
            if one["kind"] in cluster_wide
        }
        for release in ("first", "second")
    ]
    assert names[0]
    assert not names[0] & names[1]


def test_long_names_fit(helm: Helm) -> None:
    for one in helm.render(OPERATOR, release="a" * 53, hooks=True):
        assert len(one["metadata"]["name"]) <= 63


def test_the_installation_is_tested_by_a_pod_that_fits_the_restricted_profile(helm: Helm) -> None:
    pod = find(helm.render(OPERATOR, hooks=True), "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    assert container["args"][0] == (OPERATOR / "files" / "test_admission.py").read_text()
    assert container["args"][1] == "claude-mem-system"
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    role = find(helm.render(OPERATOR, hooks=True), "Role", f"{NAME}-test")
    assert role["rules"] == [
        {"apiGroups": ["claude-mem.dev"], "resources": ["claudememservers"], "verbs": ["create"]}
    ]
