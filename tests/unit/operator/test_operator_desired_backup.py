"""The manifest of nightly dumps fits what the operator makes: its names, its credentials, its image and its policies."""

from __future__ import annotations

from typing import Any

from claude_mem_operator.desired import desired
from claude_mem_operator.desired.names import Component, selector
from tests.support.backup import NAME, backup, pod
from tests.support.kube.network_policy import Peer, may_connect
from tests.support.operator_resources import inputs, resource

NAMESPACE = "agents"
POSTGRES = 5432


def children(kind: str) -> list[dict[str, Any]]:
    given = resource(namespace=NAMESPACE, name=NAME)
    manifests = [one for stage in desired(inputs(given)) for one in stage.manifests]
    return [one for one in manifests if one["kind"] == kind]


def database() -> dict[str, Any]:
    (found,) = (one for one in children("StatefulSet") if one["metadata"]["name"] == f"{NAME}-postgres")
    container: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
    return container


def test_it_asks_the_database_of_the_resource_as_its_user_and_with_its_password() -> None:
    (dump,) = pod()["spec"]["containers"]
    environment = {one["name"]: one for one in dump["env"]}
    theirs = {one["name"]: one for one in database()["env"]}
    for name in ("PGUSER", "PGDATABASE"):
        assert environment[name] == theirs[name]
    assert environment["PGPASSWORD"]["valueFrom"] == theirs["POSTGRES_PASSWORD"]["valueFrom"]
    assert environment["PGHOST"]["value"] in {one["metadata"]["name"] for one in children("Service")}
    assert dump["image"] == database()["image"]


def test_the_policies_let_its_pods_in_and_nobody_else() -> None:
    policies = children("NetworkPolicy")
    target = Peer(
        namespace=NAMESPACE, labels=selector(resource(namespace=NAMESPACE, name=NAME), Component.POSTGRES)
    )
    source = Peer(namespace=NAMESPACE, labels=pod()["metadata"]["labels"])
    assert not may_connect(policies, source, target, port=POSTGRES)
    added = backup("NetworkPolicy")
    added["metadata"]["namespace"] = NAMESPACE
    assert may_connect([*policies, added], source, target, port=POSTGRES)
    for stranger in (
        Peer(namespace=NAMESPACE, labels={"app.kubernetes.io/name": "claude-mem-backup"}),
        Peer(namespace="elsewhere", labels=source.labels),
    ):
        assert not may_connect([*policies, added], stranger, target, port=POSTGRES)


def test_it_shuts_nobody_out_where_the_resource_has_no_policies() -> None:
    given = resource(namespace=NAMESPACE, name=NAME)
    added = backup("NetworkPolicy")
    added["metadata"]["namespace"] = NAMESPACE
    target = Peer(namespace=NAMESPACE, labels=selector(given, Component.POSTGRES))
    for component in (Component.SERVER, Component.WORKER, Component.MIGRATION):
        source = Peer(namespace=NAMESPACE, labels=selector(given, component))
        assert may_connect([added], source, target, port=POSTGRES)


def test_no_selector_of_the_operator_takes_its_pods_for_children() -> None:
    labels = pod()["metadata"]["labels"].items()
    given = resource(namespace=NAMESPACE, name=NAME)
    for component in Component:
        assert not selector(given, component).items() <= labels
