"""Children as they must be: stages and gates, secrets that are kept, pods that fit, limits that follow from others."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from claude_mem_operator.desired import (
    GateKind,
    Identities,
    Inputs,
    Manifest,
    Scale,
    SecretKind,
    desired,
    endpoint,
    random_secret,
    unserved,
    value_digest,
)
from claude_mem_operator.desired.names import OWNER_LABEL, RETAINED_LABEL
from claude_mem_operator.kube.kinds import CHILD_KINDS, ref_of
from tests.support.operator_resources import FULL, SECRETS, SHORTEST, Json, elsewhere, inputs, resource


def manifests(given: Inputs | None = None) -> dict[tuple[str, str], Manifest]:
    return {
        (manifest["kind"], manifest["metadata"]["name"]): manifest
        for stage in desired(given or inputs())
        for manifest in stage.manifests
    }


def of_spec(**spec: Any) -> dict[tuple[str, str], Manifest]:
    return manifests(inputs(resource({**SHORTEST, **spec})))


def the(kind: str, found: dict[tuple[str, str], Manifest] | None = None, *, end: str = "") -> Manifest:
    matching = [
        manifest
        for (its, name), manifest in (found or manifests()).items()
        if its == kind and name.endswith(end)
    ]
    assert len(matching) == 1, [manifest["metadata"]["name"] for manifest in matching]
    return matching[0]


def templates(found: dict[tuple[str, str], Manifest]) -> Iterator[tuple[str, Any]]:
    for manifest in found.values():
        if "template" in manifest.get("spec", {}):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]


def env(template: Any) -> dict[str, Any]:
    return {item["name"]: item for item in template["spec"]["containers"][0]["env"]}


SERVER = ("Deployment", "team-memory-server")
WORKER = ("Deployment", "team-memory-worker")


def test_stages_come_in_order_and_each_waits_for_what_it_needs() -> None:
    stages = desired(inputs())
    assert [stage.name for stage in stages] == [
        "identity",
        "protection",
        "secrets",
        "postgres",
        "valkey",
        "migration",
        "server",
        "worker",
        "edges",
    ]
    gates = {stage.name: (stage.gate.kind, stage.gate.condition) for stage in stages if stage.gate}
    assert gates == {
        "postgres": (GateKind.READY, "DatabaseReady"),
        "valkey": (GateKind.READY, "CacheReady"),
        "migration": (GateKind.COMPLETE, "Migrated"),
        "server": (GateKind.AVAILABLE, "ServerAvailable"),
    }
    for stage in stages:
        names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in stage.manifests}
        assert stage.gate is None or (stage.gate.kind.value, stage.gate.name) in names
    outside = [stage.name for stage in desired(inputs(resource(elsewhere())))]
    assert "postgres" not in outside
    assert "valkey" not in outside


def test_the_same_inputs_give_the_same_bytes() -> None:
    first, second = (json.dumps([stage.manifests for stage in desired(inputs(resource(FULL)))]) for _ in "12")
    assert first == second
    turned = json.loads(json.dumps(FULL))
    turned["server"]["podLabels"] = dict(reversed([("a", "1"), ("b", "2")]))
    straight = json.loads(json.dumps(FULL))
    straight["server"]["podLabels"] = {"a": "1", "b": "2"}
    assert json.dumps([stage.manifests for stage in desired(inputs(resource(turned)))]) == json.dumps(
        [stage.manifests for stage in desired(inputs(resource(straight)))]
    )


@pytest.mark.parametrize("spec", [SHORTEST, FULL, elsewhere()])
def test_every_child_is_labelled_owned_and_of_a_known_kind(spec: Json) -> None:
    found = manifests(inputs(resource(spec)))
    total = sum(len(stage.manifests) for stage in desired(inputs(resource(spec))))
    assert len(found) == total, "no two children have a kind and a name in common"
    for manifest in found.values():
        assert ref_of(manifest).kind in CHILD_KINDS
        metadata = manifest["metadata"]
        assert metadata["namespace"] == "agents"
        assert metadata["labels"][OWNER_LABEL] == resource().metadata.uid
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "claude-mem-operator"
        retained = metadata["labels"].get(RETAINED_LABEL) == "true"
        assert ("ownerReferences" in metadata) is not retained
        name = metadata["name"]
        assert len(name) <= 63
        assert name == "team-key" or name.startswith("team-memory")


def test_names_fit_for_the_longest_name_of_a_resource() -> None:
    longest = inputs(resource(name="a" * 40))
    for kind, name in manifests(longest):
        assert len(name) <= (52 if kind == "StatefulSet" else 63), (kind, name)


def test_credentials_are_made_once_and_kept() -> None:
    made: list[SecretKind] = []

    def new_secret(kind: SecretKind) -> str:
        made.append(kind)
        return SECRETS[kind]

    found = manifests(inputs(new_secret=new_secret))
    assert sorted(made) == sorted(SecretKind)
    secret = the("Secret", found, end="postgres-credentials")
    assert data_of(secret) == {
        "database": "claude_mem",
        "host": "team-memory-postgres",
        "password": SECRETS[SecretKind.POSTGRES_PASSWORD],
        "username": "claude_mem",
    }
    made.clear()
    kept = {
        "team-memory-postgres-credentials": {"password": "theirs"},
        "team-memory-valkey-credentials": {"password": "theirs too"},
        "team-memory-api-key": {"api-key": "cmem_theirs", "note": "added"},
    }
    again = manifests(inputs(new_secret=new_secret, generated=kept))
    assert made == []
    assert base64.b64decode(the("Secret", again, end="api-key")["data"]["api-key"]) == b"cmem_theirs"


def test_the_first_run_and_the_next_agree_on_what_pods_read() -> None:
    """The first makes the secrets; for the second they are there: no pod may be rolled by that."""
    first = manifests()
    generated = {
        name: {key: base64.b64decode(value).decode() for key, value in manifest["data"].items()}
        for (kind, name), manifest in first.items()
        if kind == "Secret"
    }
    digests = {
        f"Secret/{name}/{key}": value_digest(value)
        for name, data in generated.items()
        for key, value in data.items()
    }
    assert manifests(inputs(generated=generated, digests=digests)) == first


def test_generated_secrets_need_no_escapes_and_differ() -> None:
    for kind in SecretKind:
        found = {random_secret(kind) for _ in range(20)}
        assert len(found) == 20
        assert all(re.fullmatch(r"[A-Za-z0-9_]{32,}", value) for value in found)
    assert re.fullmatch(r"cmem_[0-9a-f]{48}", random_secret(SecretKind.API_KEY))


def test_no_secret_is_in_anything_but_a_secret() -> None:
    for given in (inputs(), inputs(resource(FULL))):
        for (kind, _), manifest in manifests(given).items():
            for value in SECRETS.values():
                assert kind == "Secret" or value not in json.dumps(manifest)
    assert not any(value in repr(inputs(generated={"x": {"y": "secret0"}})) for value in ("secret0",))


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_what_outlives_the_resource_follows_the_policy(policy: str) -> None:
    found = of_spec(deletionPolicy=policy)
    for store in ("postgres", "valkey"):
        spec = found["StatefulSet", f"team-memory-{store}"]["spec"]
        retention = spec["persistentVolumeClaimRetentionPolicy"]
        assert retention == {"whenDeleted": policy, "whenScaled": "Retain"}
    owned = {name: "ownerReferences" in item["metadata"] for (_, name), item in found.items()}
    assert owned["team-memory-postgres-credentials"] is (policy == "Delete")
    assert owned["team-memory-valkey-credentials"]


def test_a_claims_template_keeps_its_size_and_the_claim_grows() -> None:
    grown = resource({**SHORTEST, "postgres": {"managed": {"storage": "30Gi"}}})
    stages = {
        stage.name: stage
        for stage in desired(inputs(grown, observed_storage={"team-memory-postgres": "10Gi"}))
    }
    (template,) = stages["postgres"].manifests[1]["spec"]["volumeClaimTemplates"]
    assert template["spec"]["resources"]["requests"]["storage"] == "10Gi"
    (claim,) = stages["postgres"].claims
    assert (claim.name, claim.storage) == ("data-team-memory-postgres-0", "30Gi")


@pytest.mark.parametrize("spec", [SHORTEST, FULL, elsewhere()])
def test_every_pod_fits_a_restricted_namespace(spec: Json) -> None:
    for name, template in templates(manifests(inputs(resource(spec)))):
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        store = name.endswith(("postgres", "valkey"))
        assert security["runAsUser"] == security["fsGroup"] == (999 if store else 10001)
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"} or spec is FULL


def test_a_container_always_has_something_to_be_compared_with() -> None:
    found = of_spec(worker={"resources": {"limits": {"memory": "512Mi"}}})
    (container,) = found[WORKER]["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m"}}


def test_a_change_of_a_secret_rolls_the_pods_that_read_it() -> None:
    def annotations(digests: dict[str, str]) -> dict[str, str]:
        found = manifests(inputs(resource(FULL), digests=digests))
        return {
            template["metadata"]["labels"]["app.kubernetes.io/component"]: template["metadata"][
                "annotations"
            ]["claude-mem.dev/references"]
            for _, template in templates(found)
        }

    def rolled(reference: str) -> set[str]:
        before, after = annotations({}), annotations({reference: "1"})
        return {component for component in before if before[component] != after[component]}

    assert rolled("Secret/anthropic/api-key") == {"worker"}
    assert rolled("Secret/google/api-key") == {"worker"}
    assert rolled("Secret/anthropic/other") == set()
    assert rolled("Secret/extra/one") == {"server", "worker"}
    assert rolled("ConfigMap/extra/two") == {"server", "worker"}


def test_another_password_rolls_its_store_its_clients_and_the_migration() -> None:
    before = dict(templates(manifests()))
    kept = {"team-memory-postgres-credentials": {"password": "another"}}
    after = dict(templates(manifests(inputs(generated=kept))))
    changed = {name for name in before if after.get(name) != before[name]}
    assert {name.rpartition("-")[2] for name in changed if "migrate" not in name} == {
        "postgres",
        "server",
        "worker",
    }
    assert any("migrate" in name for name in changed)


def test_another_project_gets_a_key_of_its_own() -> None:
    """A key stays with its project: the database would refuse it for another one."""
    kept = {"team-memory-api-key": {"api-key": "cmem_kept", "team": "default", "project": "default"}}
    moved = resource({**SHORTEST, "bootstrap": {"project": "other"}})

    def key(found: dict[tuple[str, str], Manifest]) -> str:
        return base64.b64decode(the("Secret", found, end="api-key")["data"]["api-key"]).decode()

    assert key(manifests(inputs(generated=kept))) == "cmem_kept"
    made = manifests(inputs(moved, generated=kept))
    assert key(made) == SECRETS[SecretKind.API_KEY]
    before, after = (the("Secret", found, end="api-key") for found in (manifests(), made))
    assert before["metadata"]["annotations"] != after["metadata"]["annotations"]


def test_the_keys_secret_has_the_ids_as_soon_as_the_migration_told_them_and_keeps_them() -> None:
    first = manifests()
    job = the("Job", first)["metadata"]["name"]
    assert data_of(the("Secret", first, end="api-key")).keys() == {"api-key", "project", "team", "url"}
    told = Identities(team="team-1", project="project-1")
    second = manifests(inputs(reports={job: told, "another-job": Identities(team="x", project="x")}))
    secret = the("Secret", second, end="api-key")
    data = data_of(secret)
    assert (data["team-id"], data["project-id"]) == ("team-1", "project-1")
    assert {name: data[name] for name in ("api-key", "url")} == {
        name: data_of(the("Secret", first, end="api-key"))[name] for name in ("api-key", "url")
    }
    assert the("Job", second)["metadata"]["name"] == job, "what it told is no reason to migrate again"
    third = manifests(inputs(generated={"team-memory-api-key": data}))
    assert the("Secret", third, end="api-key") == secret, "when the pod is gone, the ids stay"
    other = resource({**SHORTEST, "bootstrap": {"project": "other"}})
    moved = manifests(inputs(other, generated={"team-memory-api-key": data}, reports={job: told}))
    assert "project-id" not in data_of(the("Secret", moved, end="api-key")), "it is another project's"


def data_of(secret: Manifest) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def test_another_key_makes_another_migration_and_rolls_nothing() -> None:
    before = dict(templates(manifests()))
    kept = {"team-memory-api-key": {"api-key": "cmem_another"}}
    after = dict(templates(manifests(inputs(generated=kept))))
    assert {name.rpartition("-")[0] for name in before if name not in after} == {"team-memory-migrate"}
    assert all(after[name] == before[name] for name in before if name in after)


def test_a_failed_migration_is_tried_again_by_annotation_under_another_name() -> None:
    retried = resource(annotations={"claude-mem.dev/retry": "1"})
    names = {the("Job", manifests(inputs(given)))["metadata"]["name"] for given in (resource(), retried)}
    assert len(names) == 2
    assert all(re.fullmatch(r"team-memory-migrate-[0-9a-f]{10}", name) for name in names)


def test_names_of_team_and_project_are_neither_options_nor_references() -> None:
    found = of_spec(bootstrap={"team": "--json", "project": "$(PGPASSWORD)"})
    (container,) = the("Job", found)["spec"]["template"]["spec"]["containers"]
    assert container["command"][2] == 'exec claude-mem server bootstrap --json "$@" >/dev/termination-log'
    assert container["command"][4:] == [
        "--team=--json",
        "--project=$$(PGPASSWORD)",
        "--api-key-file=/run/secrets/claude-mem/api-key",
        "--name=agents/team-memory",
    ]


def test_the_migration_reaches_the_database_of_the_server() -> None:
    found = of_spec(
        server={"env": [{"name": "PGSSLROOTCERT", "value": "/ca.pem"}, {"name": "OTHER", "value": "x"}]}
    )
    names = env(the("Job", found)["spec"]["template"]).keys()
    assert names == {
        "CLAUDE_MEM_RUNTIME",
        "CLAUDE_MEM_DATA_DIR",
        "CLAUDE_MEM_SERVER_DATABASE_URL",
        "CLAUDE_MEM_POSTGRES_SSL",
        "PGUSER",
        "PGPASSWORD",
        "PGDATABASE",
        "PGSSLROOTCERT",
    }


def test_nobodys_apply_owns_the_number_of_workers() -> None:
    assert "replicas" not in manifests()[WORKER]["spec"]
    scales = {
        json.dumps(worker): next(
            stage.scale for stage in desired(inputs(resource({**SHORTEST, "worker": worker}))) if stage.scale
        )
        for worker in (
            {"replicas": 5, "autoscaling": {"minReplicas": 2}},
            {"replicas": 5, "autoscaling": {"enabled": False}},
        )
    }
    assert list(scales.values()) == [
        Scale(deployment="team-memory-worker", replicas=None, wake=2),
        Scale(deployment="team-memory-worker", replicas=5, wake=1),
    ]
    assert manifests()[SERVER]["spec"]["replicas"] == 2


def test_the_autoscaler_uses_what_the_cluster_serves() -> None:
    def metrics(**changes: Any) -> list[str]:
        spec = the("HorizontalPodAutoscaler", manifests(inputs(resource(FULL), **changes)))["spec"]
        return [(item.get("resource") or item["external"]["metric"])["name"] for item in spec["metrics"]]

    plain = ["cpu", "memory"]
    assert metrics(capabilities=frozenset()) == plain
    assert metrics() == [*plain, "claude_mem_queue_depth", "claude_mem_queue_oldest_age_seconds"]
    shortest = the("HorizontalPodAutoscaler", of_spec())["spec"]["metrics"]
    assert [item["resource"] for item in shortest] == [
        {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
        {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 80}},
    ]
    without = of_spec(worker={"autoscaling": {"enabled": False}})
    assert not [kind for kind, _ in without if kind == "HorizontalPodAutoscaler"]


def test_what_the_cluster_does_not_serve_is_told_and_left_out() -> None:
    given = inputs(resource(FULL), capabilities=frozenset())
    assert unserved(given).keys() == {
        "spec.server.httpRoute",
        "spec.worker.autoscaling.targetQueueDepth",
        "spec.worker.autoscaling.targetQueueAgeSeconds",
        "spec.monitoring",
    }
    kinds = {kind for kind, _ in manifests(given)}
    assert kinds.isdisjoint({"HTTPRoute", "ServiceMonitor", "PrometheusRule"})
    assert unserved(inputs(resource(FULL))) == unserved(inputs(capabilities=frozenset())) == {}
    assert {kind for kind, _ in manifests(inputs(resource(FULL)))} >= {
        "HTTPRoute",
        "ServiceMonitor",
        "PrometheusRule",
    }


def test_prometheus_is_given_the_token_that_the_servers_ask_for() -> None:
    def endpoint(*variables: Json) -> Json:
        found = of_spec(monitoring={"enabled": True}, server={"env": list(variables)})
        (scraped,) = the("ServiceMonitor", found)["spec"]["endpoints"]
        assert isinstance(scraped, dict)
        return scraped

    name = "CLAUDE_MEM_METRICS_TOKEN"
    from_secret = {"name": name, "valueFrom": {"secretKeyRef": {"name": "scraping", "key": "token"}}}
    assert "authorization" not in endpoint()
    assert "authorization" not in endpoint({"name": name, "value": "written out"})
    assert endpoint(from_secret)["authorization"] == {"credentials": {"name": "scraping", "key": "token"}}


def test_alerts_are_about_this_resource() -> None:
    rule = the("PrometheusRule", manifests(inputs(resource(FULL))))
    text = json.dumps(rule)
    assert 'name=\\"team-memory\\"' in text
    assert 'namespace=\\"agents\\"' in text
    assert "__NAME" not in text
    assert rule["metadata"]["labels"]["release"] == "prometheus"


@pytest.mark.parametrize(
    ("component", "part", "budget"),
    [
        ("server", {"replicas": 1}, None),
        ("server", {"replicas": 2}, {"maxUnavailable": 1}),
        ("server", {"replicas": 3, "podDisruptionBudget": {"minAvailable": "50%"}}, {"minAvailable": "50%"}),
        ("server", {"podDisruptionBudget": {"enabled": False}}, None),
        ("worker", {"autoscaling": {"maxReplicas": 1}}, None),
        ("worker", {"autoscaling": {"enabled": False}, "replicas": 4}, {"maxUnavailable": 1}),
        ("worker", {"podDisruptionBudget": {"maxUnavailable": 0}}, {"maxUnavailable": 0}),
    ],
)
def test_a_budget_stands_where_more_than_one_pod_may(component: str, part: Json, budget: Json | None) -> None:
    found = of_spec(**{component: part}).get(("PodDisruptionBudget", f"team-memory-{component}"))
    if budget is None:
        assert found is None
    else:
        assert found is not None
        assert found["spec"].items() >= budget.items()


def test_an_overridden_placement_is_the_users_own() -> None:
    spread = manifests()[SERVER]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [item["whenUnsatisfiable"] for item in spread] == ["ScheduleAnyway", "ScheduleAnyway"]
    assert all(
        item["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "server" for item in spread
    )
    one = {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
    found = of_spec(server={"topologySpreadConstraints": [one]})[SERVER]
    (own,) = found["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert own.items() >= one.items()
    assert own["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "server"


@pytest.mark.parametrize(("grace", "pause"), [(1, None), (2, 1), (9, 4), (30, 5)])
def test_a_server_that_ends_goes_on_serving_for_a_moment(grace: int, pause: int | None) -> None:
    found = of_spec(server={"terminationGracePeriodSeconds": grace})[SERVER]["spec"]["template"]["spec"]
    lifecycle = found["containers"][0].get("lifecycle")
    assert lifecycle == (None if pause is None else {"preStop": {"sleep": {"seconds": pause}}})
    assert found["terminationGracePeriodSeconds"] == grace


def test_the_keys_secret_says_where_the_server_is() -> None:
    assert endpoint(resource()) == "http://team-memory-server.agents.svc:37877"
    secret = the("Secret", end="api-key")
    assert base64.b64decode(secret["data"]["url"]).decode() == endpoint(resource())
    public = of_spec(server={"publicUrl": "https://memory.example.com"})
    assert (
        base64.b64decode(the("Secret", public, end="api-key")["data"]["url"]) == b"https://memory.example.com"
    )
