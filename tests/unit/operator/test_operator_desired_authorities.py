"""Whom processes trust as stores elsewhere: the Secrets' authorities, as files where their variables say."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem_operator.desired import desired
from claude_mem_operator.desired.names import REFERENCES_ANNOTATION
from tests.support.operator_resources import SHORTEST, Json, inputs, resource

CLIENTS = ("migration", "server", "worker")
FILE = "/run/secrets/postgres-authorities/ca.crt"


def external(**fields: Any) -> Json:
    postgres = {"urlSecretRef": {"name": "database", "key": "url"}, **fields}
    return {**SHORTEST, "postgres": {"external": postgres}}


TRUSTING = external(ssl="verify-full", caSecretRef={"name": "authorities", "key": "bundle.pem"})
VALKEY = {"urlSecretRef": {"name": "queue", "key": "url"}, "caSecretRef": {"name": "queue", "key": "ca.pem"}}


def templates(spec: Json, **more: Any) -> dict[str, Json]:
    """Pod templates of the processes that ask the database, by component."""
    found = {
        manifest["metadata"]["labels"]["app.kubernetes.io/component"]: manifest["spec"]["template"]
        for stage in desired(inputs(resource(spec), **more))
        for manifest in stage.manifests
        if "template" in manifest.get("spec", {})
    }
    return {component: found[component] for component in CLIENTS}


def containers(template: Json) -> list[Json]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


@pytest.mark.parametrize("component", CLIENTS)
def test_every_container_that_asks_the_database_finds_them_where_its_variable_says(component: str) -> None:
    template = templates(TRUSTING)[component]
    (volume,) = (one for one in template["spec"]["volumes"] if one["name"] == "postgres-authorities")
    assert volume["secret"]["secretName"] == "authorities"
    assert volume["secret"]["items"] == [{"key": "bundle.pem", "path": "ca.crt"}]
    for container in containers(template):
        environment = {one["name"]: one.get("value") for one in container["env"]}
        assert environment["PGSSLROOTCERT"] == FILE
        assert environment["CLAUDE_MEM_POSTGRES_SSL"] == "verify-full"
        (mount,) = (one for one in container["volumeMounts"] if one["name"] == volume["name"])
        assert f"{mount['mountPath']}/ca.crt" == FILE
        assert mount["readOnly"] is True


def test_others_in_the_secret_roll_all_who_trust_them() -> None:
    def digests(value: str) -> dict[str, str]:
        found = templates(TRUSTING, digests={"Secret/authorities/bundle.pem": value})
        return {name: one["metadata"]["annotations"][REFERENCES_ANNOTATION] for name, one in found.items()}

    before, after = digests("a"), digests("b")
    assert all(before[component] != after[component] for component in CLIENTS)


def test_those_of_valkey_are_for_who_asks_it() -> None:
    found = templates({**TRUSTING, "valkey": {"external": VALKEY}})
    for component in ("server", "worker"):
        (container,) = containers(found[component])
        variable = {"name": "CLAUDE_MEM_REDIS_CA_FILE", "value": "/run/secrets/valkey-authorities/ca.crt"}
        assert variable in container["env"]
        mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
        assert mounts["valkey-authorities"] == "/run/secrets/valkey-authorities"
        assert mounts["postgres-authorities"] == "/run/secrets/postgres-authorities"
        volumes = {one["name"]: one for one in found[component]["spec"]["volumes"]}
        assert volumes["valkey-authorities"]["secret"]["items"] == [{"key": "ca.pem", "path": "ca.crt"}]
    assert "valkey" not in str(found["migration"]["spec"]["volumes"])
    other = templates(
        {**TRUSTING, "valkey": {"external": VALKEY}}, digests={"Secret/queue/ca.pem": "renewed"}
    )
    assert {name for name in CLIENTS if other[name] != found[name]} == {"server", "worker"}


@pytest.mark.parametrize("spec", [SHORTEST, external(ssl="verify-full")], ids=["managed", "of the image"])
def test_without_them_there_is_no_trace(spec: Json) -> None:
    text = str(templates(spec))
    assert "authorities" not in text
    assert "PGSSLROOTCERT" not in text
    assert "CLAUDE_MEM_REDIS_CA_FILE" not in text


def test_a_file_of_ones_own_wins() -> None:
    variable = {"name": "PGSSLROOTCERT", "value": "/etc/ssl/certs/ca-certificates.crt"}
    (container,) = containers(templates({**TRUSTING, "worker": {"env": [variable]}})["worker"])
    assert [one for one in container["env"] if one["name"] == "PGSSLROOTCERT"] == [variable]
