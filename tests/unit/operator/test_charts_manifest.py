"""The one-file installation, which is the charts with their defaults, read as YAML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from claude_mem_operator.admission.policy import policy_spec
from claude_mem_operator.config import Config, WebhookMode, settings
from claude_mem_operator.kube import kinds
from claude_mem_operator.kube.port import Kind, Manifest
from hack import generate_charts

ROOT = Path(__file__).parents[3]
MANIFEST = ROOT / "config" / "install.yaml"
NAMESPACE = "claude-mem-system"
NAME = "claude-mem-operator"
#: What a controller of these kinds needs and no more: server-side apply is patch, and create where nothing is.
CHILD_VERBS = {"get", "list", "watch", "create", "patch", "delete"}


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return [one for one in yaml.safe_load_all(MANIFEST.read_text()) if one]


def only(manifests: list[Manifest], kind: str, name: str = NAME) -> Manifest:
    (found,) = (one for one in manifests if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def rules(manifests: list[Manifest], kind: str, name: str = NAME) -> list[Manifest]:
    found: list[Manifest] = only(manifests, kind, name)["rules"]
    return found


def allowed(rules: list[Manifest], kind: Kind, subresource: str = "") -> set[str]:
    """The verbs on any object of a kind."""
    resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
    return {
        verb
        for rule in rules
        if kind.group in rule["apiGroups"] and resource in rule["resources"] and "resourceNames" not in rule
        for verb in rule["verbs"]
    }


def every_rule(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for one in manifests:
        if one["kind"] in {"Role", "ClusterRole"}:
            for rule in one["rules"]:
                yield one["metadata"]["name"], rule


def test_what_the_charts_have_from_elsewhere_is_up_to_date() -> None:
    for path, document in generate_charts.documents().items():
        assert path.read_text() == document, f"{path.relative_to(ROOT)} is stale: run make docs"


def test_the_manifest_is_made_from_the_charts_as_they_are() -> None:
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ROOT)}\n"
        for path in sorted((ROOT / "charts").rglob("*"), key=str)
        if path.is_file()
    )
    inputs = hashlib.sha256(sums.encode()).hexdigest()
    assert inputs in MANIFEST.read_text(), "config/install.yaml is stale: run make install-manifest"


def test_the_manifest_has_the_checked_in_definition(manifests: list[Manifest]) -> None:
    for path in (ROOT / "crds").glob("*.yaml"):
        definition = yaml.safe_load(path.read_text())
        installed = only(manifests, "CustomResourceDefinition", definition["metadata"]["name"])
        assert installed["spec"] == definition["spec"]


def test_every_value_is_explained() -> None:
    for chart in (generate_charts.OPERATOR, generate_charts.DEFINITIONS):
        found = list(generate_charts.values(chart))
        assert found
        assert [value.name for value in found if not value.meaning] == []
    names = {value.name for value in generate_charts.values(generate_charts.OPERATOR)}
    assert set(generate_charts.CONSTRAINTS) <= names, "a constraint is on a value that is gone"


def test_everything_namespaced_is_in_the_namespace(manifests: list[Manifest]) -> None:
    cluster_wide = {
        "Namespace",
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    for one in manifests:
        expected = None if one["kind"] in cluster_wide else NAMESPACE
        assert one["metadata"].get("namespace") == expected, one["kind"]


class TestRoles:
    def test_there_is_no_wildcard(self, manifests: list[Manifest]) -> None:
        for name, rule in every_rule(manifests):
            for part in ("apiGroups", "resources", "verbs"):
                assert not [one for one in rule[part] if "*" in one], name

    def test_nothing_gives_more_than_it_has(self, manifests: list[Manifest]) -> None:
        dangerous = {"escalate", "bind", "impersonate", "approve", "sign", "deletecollection", "update"}
        resources = {"pods/exec", "pods/attach", "pods/portforward", "nodes", "roles", "rolebindings"}
        resources |= {
            "clusterroles",
            "clusterrolebindings",
            "serviceaccounts/token",
            "pods/ephemeralcontainers",
        }
        for name, rule in every_rule(manifests):
            if name == f"{NAME}-edit":  # people, not the operator
                continue
            assert not resources & set(rule["resources"]), name
            if rule["resources"] != ["claudememservers/finalizers"]:
                assert not dangerous & set(rule["verbs"]), name

    def test_every_child_can_be_looked_after(self, manifests: list[Manifest]) -> None:
        given = rules(manifests, "ClusterRole")
        for kind in kinds.CHILD_KINDS:
            assert allowed(given, kind) == CHILD_VERBS, str(kind)

    def test_the_rest_is_as_small_as_can_be(self, manifests: list[Manifest]) -> None:
        given = rules(manifests, "ClusterRole")
        assert allowed(given, kinds.CLAUDE_MEM_SERVER) == {"get", "list", "watch", "patch"}
        assert allowed(given, kinds.CLAUDE_MEM_SERVER, "status") == {"get", "patch"}
        assert allowed(given, kinds.CLAUDE_MEM_SERVER, "finalizers") == {"update"}
        assert allowed(given, kinds.VOLUME_CLAIM) == {"get", "list", "watch", "patch", "delete"}
        assert allowed(given, kinds.POD) == {"get", "list", "watch", "delete"}
        assert allowed(given, kinds.EVENT) == {"get", "create", "patch"}
        assert allowed(given, kinds.NAMESPACE) == {"get"}
        assert allowed(given, kinds.DEPLOYMENT, "scale") == {"get", "patch"}
        known = {*kinds.CHILD_KINDS, kinds.CLAUDE_MEM_SERVER, kinds.VOLUME_CLAIM, kinds.POD, kinds.EVENT}
        named = {kind.plural for kind in (*known, kinds.NAMESPACE)}
        for rule in given:
            assert {one.split("/")[0] for one in rule["resources"]} <= named

    def test_only_its_own_webhook_can_be_changed(self, manifests: list[Manifest]) -> None:
        (rule,) = rules(manifests, "ClusterRole", f"{NAME}-webhook")
        assert rule["resourceNames"] == [NAME]
        assert set(rule["verbs"]) == {"get", "patch"}

    def test_only_its_own_lease_and_secrets_can_be_changed(self, manifests: list[Manifest]) -> None:
        given = rules(manifests, "Role")
        assert allowed(given, kinds.LEASE) == {"create"}
        assert allowed(given, kinds.SECRET) == {"create"}
        assert allowed(given, kinds.ENDPOINT_SLICE) == {"list"}
        named = {rule["resources"][0]: rule["resourceNames"] for rule in given if "resourceNames" in rule}
        assert named == {
            "leases": [NAME],
            "secrets": [f"{NAME}-webhook-ca", f"{NAME}-webhook-cert"],
            "deployments": [NAME],
        }
        (own,) = (rule for rule in given if rule["resources"] == ["deployments"])
        assert own["verbs"] == ["get"]

    def test_people_get_their_share_by_kubernetes_own_roles(self, manifests: list[Manifest]) -> None:
        view = only(manifests, "ClusterRole", f"{NAME}-view")
        edit = only(manifests, "ClusterRole", f"{NAME}-edit")
        prefix = "rbac.authorization.k8s.io/aggregate-to-"
        assert {f"{prefix}{role}" for role in ("view", "edit", "admin")} <= set(view["metadata"]["labels"])
        assert f"{prefix}view" not in edit["metadata"]["labels"]
        assert allowed(view["rules"], kinds.CLAUDE_MEM_SERVER) == {"get", "list", "watch"}
        assert "create" in allowed(edit["rules"], kinds.CLAUDE_MEM_SERVER)
        assert not allowed(edit["rules"], kinds.CLAUDE_MEM_SERVER, "status")


class TestDeployment:
    @pytest.fixture
    def pod(self, manifests: list[Manifest]) -> Manifest:
        found: Manifest = only(manifests, "Deployment")["spec"]["template"]["spec"]
        return found

    @pytest.fixture
    def container(self, pod: Manifest) -> Manifest:
        (found,) = pod["containers"]
        return dict(found)

    def test_a_busy_node_is_no_reason_to_start_a_replica_anew(self, container: Manifest) -> None:
        """It may take two minutes to begin, and be deaf for one."""
        for name, least_s in (("startupProbe", 120), ("livenessProbe", 60), ("readinessProbe", 6)):
            probe = container[name]
            assert probe["timeoutSeconds"] >= 5, name
            assert probe["periodSeconds"] * probe["failureThreshold"] >= least_s, name

    def test_the_webhook_answers_through_a_roll_out(
        self, manifests: list[Manifest], container: Manifest, pod: Manifest
    ) -> None:
        spec = only(manifests, "Deployment")["spec"]
        assert spec["replicas"] == 2
        assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        assert only(manifests, "PodDisruptionBudget")["spec"]["minAvailable"] == 1
        assert container["lifecycle"]["preStop"]["sleep"]["seconds"] == 5
        assert pod["terminationGracePeriodSeconds"] >= 30
        (term,) = pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "probes"}

    def test_the_pod_fits_the_restricted_profile(self, pod: Manifest, container: Manifest) -> None:
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        assert not pod["enableServiceLinks"]

    def test_the_operator_reads_every_variable_that_it_gets(self, container: Manifest) -> None:
        names = [one["name"] for one in container["env"]]
        assert len(names) == len(set(names))
        # Ports are the chart's own business.
        unset = {setting.variable for setting in settings()} - set(names)
        assert {name.removeprefix("CLAUDE_MEM_OPERATOR_LISTEN_") for name in unset} == {
            "WEBHOOK",
            "METRICS",
            "PROBES",
        }

    def test_the_operator_understands_what_it_gets(
        self, manifests: list[Manifest], container: Manifest
    ) -> None:
        given = {one["name"]: one.get("value", "x") for one in container["env"]}
        config = Config.read(given)
        assert config.namespaces == ()
        assert config.webhook is WebhookMode.OWN
        assert config.runtime_image == "claude-mem-runtime:0.1.0"
        assert config.postgres_image == "docker.io/library/postgres:17"
        assert config.valkey_image == "docker.io/valkey/valkey:8"
        assert only(manifests, "Service", config.webhook_service)
        assert only(manifests, "Secret", config.webhook_secret)
        assert only(manifests, "Secret", config.webhook_ca_secret)
        assert only(manifests, "ValidatingWebhookConfiguration", config.webhook_configuration)
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        assert ports == {
            "webhook": config.webhook_port,
            "metrics": config.metrics_port,
            "probes": config.probes_port,
        }

    def test_services_and_policies_meet_its_pods(self, manifests: list[Manifest]) -> None:
        labels = only(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
        selectors = [
            only(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
            only(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
            only(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
            *(one["spec"]["selector"] for one in manifests if one["kind"] == "Service"),
        ]
        assert len(selectors) == 5
        for selector in selectors:
            assert selector.items() <= labels


class TestAdmission:
    @pytest.fixture
    def webhook(self, manifests: list[Manifest]) -> Manifest:
        (found,) = only(manifests, "ValidatingWebhookConfiguration")["webhooks"]
        return dict(found)

    def test_it_fails_closed_and_soon(self, webhook: Manifest) -> None:
        assert webhook["failurePolicy"] == "Fail"
        assert webhook["timeoutSeconds"] == 5
        assert webhook["sideEffects"] == "None"
        assert webhook["matchPolicy"] == "Equivalent"

    def test_it_is_asked_of_what_it_knows_only(self, webhook: Manifest) -> None:
        (rule,) = webhook["rules"]
        assert rule == {
            "apiGroups": ["claude-mem.dev"],
            "apiVersions": ["v1alpha1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["claudememservers"],
            "scope": "Namespaced",
        }
        conditions = [one["name"] for one in webhook["matchConditions"]]
        assert conditions == ["not-being-deleted", "not-the-operator", "spec-changed"]

    def test_no_upgrade_writes_the_bundle_of_the_operators_own_authority(self, webhook: Manifest) -> None:
        assert webhook["clientConfig"] == {
            "service": {
                "name": f"{NAME}-webhook",
                "namespace": NAMESPACE,
                "path": "/validate",
                "port": 443,
            }
        }

    def test_no_upgrade_writes_the_certificates(self, manifests: list[Manifest]) -> None:
        secrets = [one for one in manifests if one["kind"] == "Secret"]
        assert len(secrets) == 2
        assert all(not {"data", "stringData"} & set(one) for one in secrets)

    def test_the_policy_is_the_operators_and_in_force(self, manifests: list[Manifest]) -> None:
        assert only(manifests, "ValidatingAdmissionPolicy")["spec"] == json.loads(json.dumps(policy_spec()))
        binding = only(manifests, "ValidatingAdmissionPolicyBinding")["spec"]
        assert binding == {"policyName": NAME, "validationActions": ["Deny"]}


def test_traffic_is_limited_to_what_is_needed(manifests: list[Manifest]) -> None:
    spec = only(manifests, "NetworkPolicy")["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}

    def ports(rule: dict[str, Any]) -> set[int]:
        return {one["port"] for one in rule["ports"]}

    assert [ports(rule) for rule in spec["ingress"]] == [{9443}, {8080}]
    assert [ports(rule) for rule in spec["egress"]] == [{53, 5353}, {443, 6443}, {9443}]


def test_comments_become_meanings() -> None:
    text = "# Of a block.\na:\n  # What b is,\n  # and more.\n  b: 1\n  c: 2\n# A heading.\n\nd: {}\n"
    assert generate_charts.comments(text) == {
        "a": "Of a block.",
        "a.b": "What b is, and more.",
        "a.c": "",
        "d": "",
    }
