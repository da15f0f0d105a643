"""Authorities of stores that run elsewhere: a resource is told where nobody asks them, which a URL in a Secret decides."""

from __future__ import annotations

import base64

import pytest

from tests.support.kube_engine import NAMESPACE, condition, converge, engine, resource
from tests.support.kube_memory import MemoryApi
from tests.support.kube_running import REF, status

POSTGRES = "postgresql://app:s3cret@db.example.com/memory"
VALKEY = "valkey.example.com:6379/0"


@pytest.mark.parametrize(
    ("ssl", "database", "queue", "told"),
    [
        (None, POSTGRES, f"redis://:s3cret@{VALKEY}", ["PostgreSQL is prefer", "begins with redis://"]),
        (None, f"{POSTGRES}?sslmode=verify-ca", f"rediss://{VALKEY}", []),
        ("verify-full", POSTGRES, f"rediss://{VALKEY}", []),
        ("verify-full", f"{POSTGRES}?sslmode=disable", f"redis://{VALKEY}", ["begins with redis://"]),
        (None, f"{POSTGRES}?sslmode=allow", f"rediss://{VALKEY}", ["PostgreSQL is allow"]),
    ],
)
def test_authorities_that_nobody_asks_are_told(
    api: MemoryApi, ssl: str | None, database: str, queue: str, told: list[str]
) -> None:
    values = {"postgres": database, "valkey": queue, "ca.crt": "PEM"}
    api.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "stores", "namespace": NAMESPACE},
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
        }
    )
    api.delete(REF)
    authorities = {"caSecretRef": {"name": "stores", "key": "ca.crt"}}
    postgres = {"urlSecretRef": {"name": "stores", "key": "postgres"}, **authorities}
    valkey = {"urlSecretRef": {"name": "stores", "key": "valkey"}, **authorities}
    mode = {} if ssl is None else {"ssl": ssl}
    few = {"autoscaling": {"maxReplicas": 2}}
    api.create(resource(postgres={"external": {**postgres, **mode}}, valkey={"external": valkey}, worker=few))
    assert converge(engine(api), REF, settle=api.settle).result == "ready"
    warned = condition(status(api), "ConfigurationWarning")
    assert (warned["status"], warned["reason"]) == (("True", "Questionable") if told else ("False", "None"))
    message = warned.get("message", "")
    for words in told:
        assert words in message
    for store, words in (("postgres", "PostgreSQL is"), ("valkey", "redis://")):
        path = f"spec.{store}.external.caSecretRef"
        assert message.count(path) == any(words in one for one in told)
    assert "s3cret" not in str(status(api))
    assert "example.com" not in str(status(api))
